"""The cluster stack, with fake programs that answer as real ones were recorded to."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.command import CommandFailedError, CommandNotFoundError
from emf_agent.errors import ActionError
from emf_agent.plugin import (
    Action,
    ActionContext,
    ArgumentsError,
    DaemonFault,
    NotReadyError,
    Progress,
)
from emf_plugins_host.cluster import components, multicast_action, resource_actions
from emf_plugins_host.cluster.client_actions import (
    ha_cloned_client_create,
    ha_cloned_client_destroy,
    mount_unit,
)
from emf_plugins_host.cluster.components import (
    action_check_ha,
    action_check_stonith,
    get_ha_resource_list,
)
from emf_plugins_host.cluster.corosync_conf import change_port, config_version, next_version
from emf_plugins_host.cluster.daemon import Corosync
from emf_plugins_host.cluster.multicast_action import change_mcast_port
from emf_plugins_host.cluster.plugin import emf_actions
from emf_plugins_host.cluster.resource_actions import (
    ha_resource_create,
    ha_resource_create_cloned,
    ha_resource_destroy,
    ha_resource_move,
    ha_resource_start,
    ha_resource_stop,
)
from emf_plugins_host.cluster.resources import parse_resource
from emf_plugins_host.cluster.status import parse_bans, parse_cluster, parse_node_id
from emf_plugins_host.cluster.stonith import judge
from emf_plugins_host.cluster.tool_actions import crm, crm_attribute, pcs
from emf_plugins_host.cluster.xml_text import XmlError
from tests.host.bus import FakeBus
from tests.host.programs import Programs
from tests.host.samples import call, first_value
from tests.host.systemd import FakeSystemd, Unit

pytestmark = pytest.mark.anyio

RECORDED = Path(__file__).parent / "recorded"
DRY = ActionContext(dry_run=True)
INFO: dict[str, Any] = {
    "agent": {"standard": "ocf", "provider": "lustre", "ocftype": "Lustre"},
    "id": "MGS",
    "args": {"mountpoint": "/mnt/MGS", "target": "/dev/mapper/mpatha"},
    "ops": {"start": "300s", "monitor": "20s", "stop": "300s"},
}


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


# status


@pytest.mark.parametrize("name", ["crm_mon.xml", "crm_mon_old_form.xml"])
def test_both_forms_of_crm_mon_are_read(name: str) -> None:
    cluster = parse_cluster(recorded(name))

    assert [(one["name"], one["type"], one["is_dc"]) for one in cluster["nodes"]] == [
        ("hpha", "Member", True)
    ]
    assert [(one["id"], one["role"], one["active_node_name"]) for one in cluster["resources"]] == [
        ("d2:0", "Started", "hpha"),
        ("d1", "Started", "hpha"),
    ]
    assert parse_bans(recorded(name)) == [
        {
            "id": "b1",
            "resource": "d1",
            "node": "hpha",
            "weight": -5,
            "master_only": False,
        }
    ]


def test_unknown_elements_and_attributes_are_passed_over() -> None:
    text = recorded("crm_mon.xml").replace("<nodes>", '<surprise a="1"><node/></surprise><nodes>')
    text = text.replace("<clone ", '<clone new="yes" ')

    assert parse_cluster(text) == parse_cluster(recorded("crm_mon.xml"))


def test_instances_are_numbered_in_the_order_of_the_document() -> None:
    one = (
        '<resource id="{}" resource_agent="a:b" role="Started" active="true" orphaned="false"'
        ' managed="true" failed="false" failure_ignored="false" nodes_running_on="0"/>'
    )
    text = (
        "<crm_mon><resources><clone><group>"
        f"{one.format('x:1')}{one.format('y')}</group><group>{one.format('x')}</group></clone>"
        f"<group>{one.format('z')}</group></resources></crm_mon>"
    )

    assert [one["id"] for one in parse_cluster(text)["resources"]] == ["x:0", "y:0", "x:1", "z"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not XML"),
        ("crm_mon: cluster is not available", "not XML"),
        ("<crm_mon><nodes>", "not XML"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "document type"),
        ("<crm_mon><nodes><node name='a'/></nodes></crm_mon>", "no attribute 'type'"),
        ("<crm_mon><nodes><node type='moon'/></nodes></crm_mon>", "type of 'moon'"),
    ],
    ids=repr,
)
def test_what_is_no_status_is_an_error_that_says_so(text: str, fault: str) -> None:
    with pytest.raises(XmlError, match=fault):
        parse_cluster(text)


def test_an_attribute_that_must_be_there_is_named() -> None:
    text = recorded("crm_mon.xml").replace(' unclean="false"', "")

    with pytest.raises(XmlError, match="<node> has no attribute 'unclean'"):
        parse_cluster(text)


@given(st.text(max_size=200))
def test_any_text_is_a_status_or_an_error(text: str) -> None:
    try:
        parse_cluster(text)
    except XmlError:
        return


def test_the_node_id_is_the_first_line_that_says_it() -> None:
    assert parse_node_id(recorded("corosync-cfgtool.txt")) == "1"
    assert parse_node_id("Printing ring status.\nLocal node ID 7\nRING ID 0\n") == "7"
    assert parse_node_id("nothing\n") is None


# resources


def test_a_resource_is_read_from_what_crm_resource_prints() -> None:
    assert parse_resource(recorded("crm_resource_d1.txt")).model_dump() == {
        "agent": {"standard": "ocf", "provider": "pacemaker", "ocftype": "Dummy"},
        "id": "d1",
        "args": {"state": "/run/d1"},
        "ops": {"start": "300s", "monitor": "20s", "stop": None},
    }


def test_words_before_the_xml_of_an_older_pacemaker_are_passed_over() -> None:
    text = 'st: Started a\nxml:\n<primitive class="stonith" id="st" type="fence_x"/>\n'

    assert parse_resource(text).agent.model_dump() == {
        "standard": "stonith",
        "provider": None,
        "ocftype": "fence_x",
    }


@pytest.mark.parametrize("text", ["", "no such thing", "xml:\n<primitive", "xml:\n<primitive/>"])
def test_what_is_no_resource_is_an_error(text: str) -> None:
    with pytest.raises(XmlError):
        parse_resource(text)


async def test_a_node_without_a_cluster_has_no_resources(programs: Programs) -> None:
    assert await call(get_ha_resource_list, None) == []
    programs.add("crm_resource", stderr="crm_resource: cluster is not available\n", code=102)
    assert await call(get_ha_resource_list, None) == []


RESOURCES = """
case "$*" in
  --list-raw) printf 'MGS\\ncl:0\\ncl:1\\n' ;;
  *"--resource MGS") printf ' MGS\\nxml:\\n<primitive class="ocf" id="MGS" type="Lustre"/>\\n' ;;
  *"--resource cl") printf ' cl\\nxml:\\n<primitive class="systemd" id="cl" type="a.mount"/>\\n' ;;
  *) exit 1 ;;
esac
"""


async def test_of_a_clone_one_instance_is_listed(programs: Programs) -> None:
    programs.script("crm_resource", RESOURCES)

    assert [one["id"] for one in await call(get_ha_resource_list, None)] == ["MGS", "cl"]


async def test_one_resource_that_fails_fails_the_list(programs: Programs) -> None:
    programs.script("crm_resource", RESOURCES.replace("printf 'MGS", "printf 'gone\\\\nMGS"))

    with pytest.raises(CommandFailedError, match="exit code: 1"):
        await call(get_ha_resource_list, None)


def created(programs: Programs) -> ET.Element:
    ((*words, text),) = programs.calls("cibadmin")
    assert words == ["--modify", "--allow-create", "--scope", "configuration", "--xml-text"]
    assert text.startswith("<?xml version=")
    root = ET.fromstring(text)
    for one in root.iter():
        assert list(one.attrib) == sorted(one.attrib), "attributes are in order"
    return root


MGS_AND_RULE = (
    '//resources/primitive[@id="MGS"]|//resources/clone[@id="cl-MGS"]'
    '|//constraints/*[@id="loc-mgs-1"]'
)
EVERY_CONSTRAINT = [
    {
        "ORDER": {
            "id": "o1",
            "first": "MGS",
            "first_action": "start",
            "then": "ost",
            "then_action": "start",
            "kind": {"SCORE": {"VALUE": 0}},
        }
    },
    {"ORDER": {"id": "o2", "first": "a", "then": "b", "kind": {"KIND": "SERIALIZE"}}},
    {"LOCATION": {"id": "l1", "rsc": "MGS", "node": "mds1.local", "score": {"VALUE": 20}}},
    {"COLOCATION": {"id": "c1", "rsc": "MGS", "with_rsc": "b", "score": "NEG_INFINITY"}},
    {"TICKET": {"id": "t1", "rsc": "MGS", "ticket": "fs1-allocated", "loss_policy": "stop"}},
]


async def test_a_resource_and_its_constraints_are_made_in_one_step(programs: Programs) -> None:
    programs.add("crm_resource", stdout="other\n")
    programs.add("cibadmin")

    assert await call(ha_resource_create, [INFO, EVERY_CONSTRAINT]) is None
    root = created(programs)
    primitive = root.find("resources/primitive")
    assert primitive is not None
    assert primitive.attrib == {"class": "ocf", "id": "MGS", "provider": "lustre", "type": "Lustre"}
    assert [one.attrib for one in primitive.iterfind("instance_attributes/nvpair")] == [
        {
            "id": "MGS-instance_attributes-mountpoint",
            "name": "mountpoint",
            "value": "/mnt/MGS",
        },
        {
            "id": "MGS-instance_attributes-target",
            "name": "target",
            "value": "/dev/mapper/mpatha",
        },
    ]
    assert [one.get("id") for one in primitive.iterfind("operations/op")] == [
        "MGS-start-timeout-300s",
        "MGS-stop-timeout-300s",
        "MGS-monitor-interval-20s",
    ]
    assert primitive.find("meta_attributes") is None, "nothing keeps it from starting"
    assert [(one.tag, one.attrib) for one in root.iterfind("constraints/*")] == [
        (
            "rsc_order",
            {
                "first": "MGS",
                "first-action": "start",
                "id": "o1",
                "score": "0",
                "then": "ost",
                "then-action": "start",
            },
        ),
        ("rsc_order", {"first": "a", "id": "o2", "kind": "Serialize", "then": "b"}),
        ("rsc_location", {"id": "l1", "node": "mds1.local", "rsc": "MGS", "score": "20"}),
        ("rsc_colocation", {"id": "c1", "rsc": "MGS", "score": "-INFINITY", "with-rsc": "b"}),
        (
            "rsc_ticket",
            {"id": "t1", "loss-policy": "stop", "rsc": "MGS", "ticket": "fs1-allocated"},
        ),
    ]


async def test_constraints_of_a_clone_mean_the_clone(programs: Programs) -> None:
    programs.add("crm_resource", stdout="MGS\n")
    programs.add("cibadmin")
    await call(ha_resource_create_cloned, [INFO, EVERY_CONSTRAINT])

    root = created(programs)
    assert root.find('resources/clone[@id="cl-MGS"]/primitive[@id="MGS"]') is not None
    assert [one.get("rsc", one.get("first")) for one in root.iterfind("constraints/*")] == [
        "cl-MGS",
        "a",
        "cl-MGS",
        "cl-MGS",
        "cl-MGS",
    ]


@pytest.mark.parametrize(
    ("action", "listed"),
    [(ha_resource_create, "MGS\n"), (ha_resource_create_cloned, "MGS:0\n")],
    ids=lambda one: getattr(one, "name", ""),
)
async def test_a_resource_that_is_there_is_left_alone(
    programs: Programs, action: Action[..., Any], listed: str
) -> None:
    programs.add("crm_resource", stdout=listed)

    assert await call(action, [INFO, []]) is None


async def test_a_change_that_pacemaker_refuses_is_an_error(programs: Programs) -> None:
    programs.add("crm_resource", stdout="")
    programs.add("cibadmin", stderr="Update does not conform to the configured schema\n", code=78)

    with pytest.raises(CommandFailedError, match=r"exit code: 78.*configured schema"):
        await call(ha_resource_create, [INFO, []])


@pytest.mark.parametrize(
    "args",
    [
        [INFO],
        [{**INFO, "id": 'x"] | //*'}, []],
        [{**INFO, "id": 5}, []],
        [{key: value for key, value in INFO.items() if key != "ops"}, []],
        [INFO, [{"PLACE": {}}]],
        [INFO, [{"TICKET": {"id": "t"}}]],
        [
            INFO,
            [{"LOCATION": {"id": "l", "rsc": "a", "node": "b", "score": {"VALUE": 2**31}}}],
        ],
        [INFO, [{"ORDER": {"id": "o", "first": "a", "then": "b", "first_action": "jump"}}]],
        "MGS",
        None,
    ],
    ids=str,
)
def test_what_is_no_resource_or_constraint_is_refused(args: Any) -> None:
    with pytest.raises(ArgumentsError):
        ha_resource_create.bind(args)


def test_keys_that_nobody_knows_are_ignored() -> None:
    bound = ha_resource_create.bind([{**INFO, "colour": "red"}, []])
    assert bound["resource"].id == "MGS"


async def test_a_resource_is_removed_with_its_constraints(programs: Programs) -> None:
    programs.add("cibadmin")
    await call(ha_resource_destroy, ["MGS", ["loc-mgs-1"]])

    assert programs.calls("cibadmin") == [
        [
            "--delete-all",
            "--xpath",
            MGS_AND_RULE,
            "--force",
        ]
    ]


# start, stop, move


def moving_cluster(programs: Programs, *roles: str) -> None:
    """Let crm_mon show one role after another, and the last for ever."""
    text = recorded("crm_mon.xml")
    head, _, rest = text.partition("<clone ")
    tail = rest.partition("</clone>")[2]
    for number, role in enumerate(roles):
        where, _, what = role.rpartition("@")
        page = (head + tail).replace('role="Started"', f'role="{where or what}"')
        page = page.replace('<node name="hpha" id="1" cached', f'<node name="{what}" id="1" cached')
        (programs.folder / f".page{number}").write_text(page)
    programs.script(
        "crm_mon",
        f"cd {programs.folder}; n=$(cat .n 2>/dev/null || echo 0); echo $((n+1)) >.n\n"
        f"[ $n -ge {len(roles)} ] && n={len(roles) - 1}\ncat .page$n\n",
    )
    programs.add("crm_resource")


@pytest.mark.parametrize(
    ("action", "role", "before"),
    [(ha_resource_start, "Started", "Starting"), (ha_resource_stop, "Stopped", "Started")],
    ids=lambda one: getattr(one, "name", ""),
)
async def test_a_role_is_ordered_and_waited_for_with_progress(
    programs: Programs,
    monkeypatch: pytest.MonkeyPatch,
    action: Action[..., Any],
    role: str,
    before: str,
) -> None:
    monkeypatch.setattr(resource_actions, "PAUSE_S", 0.01)
    moving_cluster(programs, before, role)
    reports: list[Progress] = []

    assert await call(action, "d1", ActionContext(report=reports.append)) is None
    assert programs.calls("crm_resource") == [
        [
            "--resource",
            "d1",
            "--set-parameter",
            "target-role",
            "--meta",
            "--parameter-value",
            role,
        ]
    ]
    assert len(programs.calls("crm_mon")) == 2
    assert [one.message for one in reports] == [f"d1: {before}, on {before}"]


async def test_a_resource_that_does_not_start_is_named_with_its_role(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource_actions, "PAUSE_S", 0.01)
    monkeypatch.setattr(resource_actions, "WAIT_S", 0.05)
    moving_cluster(programs, "Stopped")

    with pytest.raises(ActionError, match=r"not Started after 0\.05 s, now d1: Stopped"):
        await call(ha_resource_start, "d1")


async def test_a_cluster_that_ends_meanwhile_ends_the_action(programs: Programs) -> None:
    programs.add("crm_resource")
    programs.add("crm_mon", stderr="cluster is not available on this node\n", code=102)

    with pytest.raises(CommandFailedError, match="not available on this node"):
        await call(ha_resource_start, "d1")


async def test_an_old_crm_mon_is_asked_in_its_own_words(programs: Programs) -> None:
    programs.add("crm_resource")
    (programs.folder / ".page").write_text(recorded("crm_mon_old_form.xml"))
    programs.script(
        "crm_mon",
        'case "$*" in *output-as*) echo "crm_mon: unrecognized option" >&2; exit 64 ;; esac\n'
        f"cat {programs.folder}/.page\n",
    )

    assert await call(ha_resource_start, "d1") is None


async def test_a_move_leaves_no_rule_behind(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource_actions, "PAUSE_S", 0.01)
    moving_cluster(programs, "Started@mds1", "Stopped@mds1", "Started@mds2")

    assert await call(ha_resource_move, ["d1", "mds2"]) is None
    assert programs.calls("crm_resource") == [
        ["--resource", "d1", "--move", "--node", "mds2"],
        ["--resource", "d1", "--clear", "--node", "mds2"],
    ]


async def test_a_cancelled_move_leaves_no_rule_behind(programs: Programs) -> None:
    moving_cluster(programs, "Started@mds1")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, ha_resource_move, ["d1", "mds2"])
        with anyio.fail_after(60):
            while len(programs.calls("crm_mon")) < 2:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()

    assert programs.calls("crm_resource")[-1] == ["--resource", "d1", "--clear", "--node", "mds2"]


async def test_a_move_in_vain_is_an_error_and_leaves_no_rule_behind(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource_actions, "WAIT_S", 0.0)
    moving_cluster(programs, "Started@mds1")

    with pytest.raises(ActionError, match="move d1: not on mds2 after 0 s, now on mds1"):
        await call(ha_resource_move, ["d1", "mds2"])
    assert programs.calls("crm_resource")[-1][2] == "--clear"


async def test_a_move_to_where_it_is_does_nothing(programs: Programs) -> None:
    moving_cluster(programs, "Started@mds1")

    assert await call(ha_resource_move, ["d1", "mds1"]) is None
    assert programs.calls("crm_resource") == []


# client


TEMPLATES = (
    "/cib/configuration/resources/template[@id='lustre-fs1-ost']\n"
    "/cib/configuration/resources/template[@id='lustre-fs2-ost']\n"
)


async def test_a_client_is_made_stopped_and_tied_to_its_servers(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.add("crm_resource", stdout="mgs\nfs1\n")
    programs.script("cibadmin", f'case "$*" in *--query*) printf \'%s\' "{TEMPLATES}" ;; esac\n')
    page = recorded("crm_mon.xml").replace('id="d2"', 'id="fs1-client"')
    programs.add("crm_mon", stdout=page.replace('role="Started"', 'role="Stopped"'))

    assert await call(ha_cloned_client_create, ["fs1", "/mnt/fs-1/a"]) is None
    root = ET.fromstring(programs.calls("cibadmin")[1][-1])
    primitive = root.find('resources/clone[@id="cl-fs1-client"]/primitive')
    assert primitive is not None
    assert primitive.attrib == {"class": "systemd", "id": "fs1-client", "type": "mnt-fs--1-a.mount"}
    role = primitive.find("meta_attributes/nvpair")
    assert role is not None
    assert role.get("value") == "Stopped"
    assert [one.get("id") for one in root.iterfind("constraints/*")] == [
        "ticket-fs1-allocated-client",
        "fs1-client-after-mgs",
        "fs1-client-after-ost",
    ]
    assert [one.get("first") for one in root.iterfind("constraints/rsc_order")] == [
        "mgs",
        "lustre-fs1-ost",
    ]
    assert {one.get("then") for one in root.iterfind("constraints/rsc_order")} == {"cl-fs1-client"}


async def test_a_client_is_removed_with_its_constraints(programs: Programs) -> None:
    programs.add("crm_resource", stdout="mgs\nfs1-client:0\n")
    programs.script("cibadmin", f'case "$*" in *--query*) printf \'%s\' "{TEMPLATES}" ;; esac\n')
    await call(ha_cloned_client_destroy, "fs1")

    assert programs.calls("cibadmin")[1][2].split("|") == [
        '//constraints/*[@id="fs1-client-after-mgs"]',
        '//constraints/*[@id="fs1-client-after-ost"]',
        '//resources/clone[@id="cl-fs1-client"]',
    ]


async def test_a_client_that_is_there_or_gone_already_is_left_alone(programs: Programs) -> None:
    programs.add("crm_resource", stdout="fs1-client:0\n")

    assert await call(ha_cloned_client_create, ["fs1", "/mnt/fs1"]) is None
    assert await call(ha_cloned_client_destroy, "fs2") is None


@pytest.mark.parametrize(
    ("path", "unit"), [("/mnt/fs1", "mnt-fs1.mount"), ("/a-b/c/", "a--b-c.mount")]
)
def test_a_mount_unit_is_named_as_the_ancestor_did(path: str, unit: str) -> None:
    assert mount_unit(path) == unit


# fencing


def fencing(kind: str, *pairs: tuple[str, str], role: str | None = None) -> str:
    listed = "".join(f'<nvpair id="x" name="{name}" value="{value}"/>' for name, value in pairs)
    meta = f'<meta_attributes><nvpair name="target-role" value="{role}"/></meta_attributes>'
    return (
        f'<primitive class="stonith" id="st" type="{kind}">'
        f"<instance_attributes>{listed}</instance_attributes>{meta if role else ''}</primitive>"
    )


def several(*agents: str) -> str:
    return f"<xpath-query>{''.join(agents)}</xpath-query>"


@pytest.mark.parametrize(
    ("text", "works", "info", "config"),
    [
        ('<primitive type="fence_chroma"/>', False, "fence_chroma - unconfigured", "IML"),
        (fencing("fence_chroma"), True, "fence_chroma", "IML"),
        (fencing("fence_x"), True, "fence_x", "Other"),
        (fencing("fence_x", role="Stopped"), False, "fence_x - role: Stopped", "Other"),
        (fencing("fence_x", role="Started"), True, "fence_x", "Other"),
        (
            fencing("fence_x", ("pcmk_host_list", "a,b")),
            False,
            "fence_x - n1 missing from host list",
            "Other",
        ),
        (fencing("fence_x", ("pcmk_host_list", "a, n1")), True, "fence_x", "Other"),
        (
            fencing("fence_x", ("pcmk_host_check", "static-list")),
            False,
            "fence_x - n1 missing from host list",
            "Other",
        ),
        (
            fencing("fence_x", ("pcmk_host_list", "a"), ("pcmk_host_check", "dynamic-list")),
            True,
            "fence_x",
            "Other",
        ),
        (
            several("<primitive/>", fencing("fence_x", role="Stopped"), fencing("fence_y")),
            True,
            "fence_y",
            "Other",
        ),
        (
            several(fencing("fence_x", role="Stopped")),
            False,
            "No working fencing agents",
            "Other",
        ),
    ],
)
def test_fencing_is_judged_by_its_agents(text: str, works: bool, info: str, config: str) -> None:
    verdict = judge(text, "n1")

    assert (verdict.works, verdict.info, verdict.config) == (works, info, config)


@pytest.mark.parametrize(
    ("text", "fault"),
    [("<badtag/>", "unexpected root element badtag"), ("<primitive/>", "no attribute 'type'")],
)
def test_fencing_that_cannot_be_judged_is_an_error(text: str, fault: str) -> None:
    with pytest.raises(XmlError, match=fault):
        judge(text, "n1")


async def test_fencing_is_asked_for_this_node(programs: Programs) -> None:
    programs.add("cibadmin", stdout=fencing("fence_ipmilan", ("pcmk_host_list", "oss1.local")))
    programs.add("crm_node", stdout="oss1.local\n")

    assert await call(action_check_stonith, None) == {
        "service": {"Configured": "Setup"},
        "config": "Other",
        "elements": [],
        "info": "fence_ipmilan",
        "state": True,
    }


async def test_without_pacemaker_there_is_no_fencing(programs: Programs) -> None:
    programs.add("cibadmin", stderr="Signon to CIB failed\n", code=107)

    assert await call(action_check_stonith, None) == {
        "service": "Unconfigured",
        "config": "Unknown",
        "elements": [],
        "info": "No pacemaker",
        "state": False,
    }


# check_ha


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder where the stack's three files are, or are not."""
    monkeypatch.setattr(components, "COROSYNC_CONF", tmp_path / "corosync.conf")
    monkeypatch.setattr(components, "CIB", tmp_path / "cib.xml")
    monkeypatch.setattr(components, "PCS_TOKENS", tmp_path / "tokens")
    return tmp_path


UNCONFIGURED = {
    "service": "Unconfigured",
    "config": "Unknown",
    "elements": [],
    "info": "",
    "state": False,
}
OUR_RINGS = (
    "totem.interface.0.mcastaddr (str) = 226.94.0.1\n"
    "totem.interface.1.mcastaddr (str) = 226.94.1.1\n"
)


async def test_a_node_without_the_stack_is_unconfigured(stack: Path) -> None:
    assert await call(action_check_ha, None) == [UNCONFIGURED] * 3


async def test_a_stack_as_the_manager_made_it_is_recognised(
    stack: Path, programs: Programs, bus: FakeBus
) -> None:
    for name in ("corosync.conf", "cib.xml", "tokens"):
        (stack / name).write_text("x")
    units = [f"{name}.service" for name in ("corosync", "pacemaker", "pcsd")]
    FakeSystemd(bus, *(Unit(name, "enabled", "active") for name in units))
    programs.add("corosync-cmapctl", stdout=OUR_RINGS)
    programs.script(
        "crm_resource",
        'case "$*" in --list-raw) echo st-fencing ;; *) echo "xml:";'
        ' echo \'<primitive class="stonith" id="st-fencing" type="fence_chroma"/>\' ;; esac\n',
    )

    state = {**UNCONFIGURED, "service": {"Configured": "Setup"}, "config": "IML"}
    assert await call(action_check_ha, None) == [state] * 3


@pytest.mark.parametrize(
    ("stdout", "code"), [("", 1), (OUR_RINGS.replace("226.94.1.1", "239.1.1.1"), 0)]
)
async def test_another_corosync_is_unknown(
    stack: Path, programs: Programs, bus: FakeBus, stdout: str, code: int
) -> None:
    (stack / "corosync.conf").write_text("x")
    FakeSystemd(bus, Unit("corosync.service"))
    programs.add("corosync-cmapctl", stdout=stdout, code=code)

    found = await call(action_check_ha, None)
    assert (found[0]["config"], found[0]["service"]) == ("Unknown", {"Configured": "Stopped"})


async def test_a_stopped_corosync_is_an_error(
    stack: Path, programs: Programs, bus: FakeBus
) -> None:
    (stack / "corosync.conf").write_text("x")
    FakeSystemd(bus)
    text = "Failed to initialize the cmap API. Error CS_ERR_LIBRARY\n"
    programs.add("corosync-cmapctl", stderr=text, code=1)

    with pytest.raises(CommandFailedError, match="CS_ERR_LIBRARY"):
        await call(action_check_ha, None)


# words handed over


@pytest.mark.parametrize("action", [crm_attribute, pcs, crm], ids=lambda one: one.name)
async def test_words_are_handed_over_as_they_are(
    programs: Programs, action: Action[..., Any]
) -> None:
    programs.script(action.name, "printf 'oss1: Succeeded\\n\\377'\n")

    assert await call(action, ["a b", "$(x)", ""]) == "oss1: Succeeded\n\ufffd"
    assert programs.calls(action.name) == [["a b", "$(x)", ""]]
    assert await call(action, ["x", "y"], DRY) == f"would run {action.name} x y"


async def test_a_shell_that_is_not_there_points_to_the_other(programs: Programs) -> None:
    with pytest.raises(ActionError, match=r"os error 2.*managed by crm has no pcs"):
        await call(pcs, ["status"])
    with pytest.raises(CommandNotFoundError):
        await call(crm_attribute, ["--query"])


async def test_a_program_that_prints_without_end_is_bounded(programs: Programs) -> None:
    programs.script("pcs", "head -c 8000000 /dev/zero\n")

    with pytest.raises(ActionError, match="bytes in the middle of the output were not kept"):
        await call(pcs, ["status"])


@pytest.mark.parametrize("words", ["status", [1], None, {"a": 1}, ["x"] * 300], ids=str)
def test_words_that_are_none_are_refused(words: Any) -> None:
    with pytest.raises(ArgumentsError, match="words"):
        pcs.bind(words)


# corosync.conf


CONF = """
# version: 9 in a comment, and mcastport: 1
totem {
    version:2
    config_version: 9
    cluster_name: mine
    interface {
\tringnumber : 0
        mcastport  :   5405
    }
    interface {
        mcastport:5407 # the second ring
    }
}
"""
CONF_40001 = """# version: 9 in a comment, and mcastport: 1
totem {
    version:2
    config_version: 10
    cluster_name: mine
    interface {
\tringnumber : 0
        mcastport  :   40001
    }
    interface {
        mcastport:40001 # the second ring
    }
}
"""


def test_the_port_changes_and_comments_and_spacing_stay() -> None:
    assert change_port(CONF, 40001, 10) == CONF_40001
    assert change_port(CONF_40001, 40001, 10) == CONF_40001


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("totem {\n version: 2\n}\n", "no mcastport"),
        ("mcastport: 1\n", "no version line"),
        ("", "no mcastport"),
    ],
)
def test_a_file_without_a_port_or_a_version_is_an_error(text: str, fault: str) -> None:
    with pytest.raises(ActionError, match=fault):
        change_port(text, 40001, 1)


def test_the_version_is_the_running_one_and_one_more() -> None:
    assert config_version("totem.config_version (u64) = 9\ntotem.version (u32) = 2\n") == 9
    assert config_version(recorded("corosync-cmapctl-totem.txt")) == 0
    with pytest.raises(ActionError, match="highest"):
        next_version(2**64 - 1)


async def test_the_port_is_written_to_the_file_with_a_new_version(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "corosync.conf"
    file.write_text(CONF)
    monkeypatch.setattr(multicast_action, "COROSYNC_CONF", file)
    programs.add("corosync-cmapctl", stdout="totem.config_version (u64) = 9\n")

    assert "+        mcastport  :   40001" in await call(change_mcast_port, 40001, DRY)
    assert file.read_text() == CONF
    assert await call(change_mcast_port, 40001) is None
    assert file.read_text() == CONF_40001


@pytest.mark.parametrize("port", [0, 65536, -1, "40001", None], ids=repr)
def test_a_port_that_is_none_is_refused(port: Any) -> None:
    with pytest.raises(ArgumentsError, match="port"):
        change_mcast_port.bind(port)


# the daemon


def running_cluster(programs: Programs, status: str) -> None:
    programs.add("corosync-cfgtool", stdout=recorded("corosync-cfgtool.txt"))
    programs.add("crm_mon", stdout=status)


async def test_the_cluster_is_sent_with_this_nodes_id(programs: Programs) -> None:
    running_cluster(programs, recorded("crm_mon.xml"))
    node_id, cluster = await first_value(Corosync())

    assert node_id == "1"
    assert [one["id"] for one in cluster["resources"]] == ["d2:0", "d1"]
    assert [one["id"] for one in cluster["bans"]] == ["b1"]
    assert cluster["resource_mounts"] == {}


@pytest.mark.parametrize(
    ("agent", "setting"),
    [
        ("ocf::lustre:Lustre", "mountpoint"),
        ("ocf:lustre:Lustre", "mountpoint"),
        ("ocf::ddn:lustre-server", "directory"),
    ],
)
async def test_a_lustre_target_is_sent_with_its_mount(
    programs: Programs, agent: str, setting: str
) -> None:
    status = recorded("crm_mon.xml").replace("ocf:pacemaker:Dummy", agent)
    running_cluster(programs, status)
    programs.add(
        "crm_resource",
        stdout=f' d1\nxml:\n<primitive><nvpair name="{setting}" value="/mnt/ost0"/></primitive>\n',
    )
    _, cluster = await first_value(Corosync())

    assert cluster["resource_mounts"] == {"d1": "/mnt/ost0", "d2:0": "/mnt/ost0"}


async def test_a_node_without_the_stack_sends_nothing(programs: Programs) -> None:
    assert await first_value(Corosync()) is None


async def test_a_stopped_cluster_is_not_ready_and_later_a_fault(programs: Programs) -> None:
    programs.add("corosync-cfgtool", stderr="Could not initialize\n", code=1)

    with pytest.raises(NotReadyError, match=r"does not answer: exit code: 1.*Could not init"):
        await Corosync().start_session()
    with pytest.raises(DaemonFault, match="does not answer"):
        await Corosync().update_session()


# all


@pytest.mark.parametrize("action", emf_actions(), ids=lambda one: one.name)
def test_what_changes_something_can_be_tried_first(action: Action[..., Any]) -> None:
    reads = {"action_check_ha", "action_check_stonith", "get_ha_resource_list"}
    assert action.dry_run == (action.name not in reads)


def test_actions_on_one_thing_exclude_each_other() -> None:
    assert ha_resource_start.lock_names({"resource": "MGS"}) == ("resource:MGS",)
    assert ha_resource_create.locks == ha_cloned_client_destroy.locks == ("cib",)
    assert change_mcast_port.locks == ("corosync.conf",)
