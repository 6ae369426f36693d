"""The cluster stack, with a real corosync and pacemaker of one node."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.host.sandbox.machine import Inside
from tests.sandbox import Machine

pytestmark = pytest.mark.sandbox


def dummy(name: str, **args: str) -> dict[str, Any]:
    return {
        "agent": {"standard": "ocf", "provider": "pacemaker", "ocftype": "Dummy"},
        "id": name,
        "args": {"state": f"/run/{name}.state", **args},
        "ops": {"start": "20s", "monitor": "10s", "stop": "20s"},
    }


@pytest.fixture
def cluster(machine: Machine) -> Generator[Machine, None, None]:
    yield machine
    machine.run("cibadmin", "--delete-all", "--xpath", "//constraints/*|//resources/*", "--force")


def node(machine: Machine) -> str:
    return machine.run("crm_node", "-n").strip()


# Before the others: what was a resource is listed for a while after it was removed.
def test_the_stack_is_recognised_as_not_the_managers(cluster: Machine, inside: Inside) -> None:
    corosync, pacemaker, pcs = inside.ok("action_check_ha")

    assert corosync["service"] == {"Configured": "Started"}
    assert pacemaker["config"] == "Default"
    assert pcs["service"] == "Unconfigured"


def test_a_resource_lives_its_whole_life(cluster: Machine, inside: Inside) -> None:
    here = node(cluster)
    prefers = {"LOCATION": {"id": "l1", "rsc": "d1", "node": here, "score": {"VALUE": 20}}}
    inside.ok("ha_resource_create", [dummy("d1"), [prefers]])
    inside.ok("ha_resource_create", [dummy("d1"), [prefers]])
    assert inside.ok("get_ha_resource_list") == [dummy("d1")]

    inside.ok("ha_resource_start", "d1")
    inside.ok("ha_resource_move", ["d1", here])
    (payload,) = inside.daemon("corosync")
    node_id, status = payload
    assert node_id == "1"
    assert [(one["name"], one["online"]) for one in status["nodes"]] == [(here, True)]
    assert [(one["id"], one["role"], one["active_node_name"]) for one in status["resources"]] == [
        ("d1", "Started", here)
    ]

    assert inside.ok("ha_resource_stop", "d1", dry_run=True) == "would stop d1, now Started"
    inside.ok("ha_resource_stop", "d1")
    inside.ok("ha_resource_destroy", ["d1", ["l1"]])
    assert inside.ok("get_ha_resource_list") == []
    assert "l1" not in cluster.run("cibadmin", "--query")


def test_a_resource_that_does_not_fit_the_schema_leaves_nothing(
    cluster: Machine, inside: Inside
) -> None:
    nowhere = {"LOCATION": {"id": "l2", "rsc": "ghost", "node": "a", "score": "INFINITY"}}
    text = inside.err("ha_resource_create", [dummy("d2"), [nowhere]])

    assert "configured schema" in text
    assert inside.ok("get_ha_resource_list") == []


def test_a_clone_is_made_with_its_constraints_and_removed(cluster: Machine, inside: Inside) -> None:
    ticket = {"TICKET": {"id": "t1", "rsc": "d3", "ticket": "gate", "loss_policy": "stop"}}
    inside.ok("ha_resource_create_cloned", [dummy("d3"), [ticket]])
    inside.ok("ha_resource_create_cloned", [dummy("d3"), [ticket]])
    assert 'rsc="cl-d3"' in cluster.run("cibadmin", "--query", "--scope", "constraints")
    assert [one["id"] for one in inside.ok("get_ha_resource_list")] == ["d3"]
    inside.ok("ha_resource_destroy", ["d3", ["t1"]])
    assert inside.ok("get_ha_resource_list") == []


def test_a_client_is_made_stopped_and_removed(cluster: Machine, inside: Inside) -> None:
    template = '<template id="lustre-fs1-ost" class="ocf" provider="ddn" type="lustre-server"/>'
    cluster.run("cibadmin", "--create", "--scope", "resources", "--xml-text", template)
    inside.ok("ha_resource_create", [dummy("mgs"), []])
    inside.ok("ha_cloned_client_create", ["fs1", "/mnt/fs1"])
    inside.ok("ha_cloned_client_create", ["fs1", "/mnt/fs1"])
    configured = cluster.run("cibadmin", "--query")
    assert 'type="mnt-fs1.mount"' in configured
    assert 'id="fs1-client-after-mgs"' in configured
    inside.ok("ha_cloned_client_destroy", "fs1")
    inside.ok("ha_cloned_client_destroy", "fs1")
    assert "fs1-client" not in cluster.run("cibadmin", "--query", "--scope", "constraints")


def test_waiting_for_a_resource_reports_progress_and_can_be_cancelled(
    cluster: Machine, inside: Inside
) -> None:
    elsewhere = {
        "LOCATION": {"id": "l4", "rsc": "d4", "node": node(cluster), "score": "NEG_INFINITY"}
    }
    inside.ok("ha_resource_create", [dummy("d4"), [elsewhere]])
    answer = inside.call("ha_resource_start", "d4", cancel_after_s=2.5)

    assert "Cancelled" in answer
    assert answer["progress"][0] == "d4: Stopped, on no node"
    (payload,) = inside.daemon("corosync")
    assert [(one["id"], one["weight"]) for one in payload[1]["bans"]] == [("l4", -1_000_000)]


def test_a_resource_that_is_not_there_is_an_error(cluster: Machine, inside: Inside) -> None:
    assert "'nope' not found" in inside.err("ha_resource_start", "nope")


def test_fencing_is_judged_by_the_configured_agents(cluster: Machine, inside: Inside) -> None:
    assert inside.ok("action_check_stonith")["info"] == "No pacemaker"
    agent = (
        '<primitive class="stonith" id="st" type="fence_ipmilan"><instance_attributes id="st-i">'
        '<nvpair id="st-l" name="pcmk_host_list" value="{}"/></instance_attributes></primitive>'
    )
    cluster.run(
        "cibadmin", "--create", "--scope", "resources", "--xml-text", agent.format(node(cluster))
    )
    state = inside.ok("action_check_stonith")
    assert (state["state"], state["info"], state["config"]) == (True, "fence_ipmilan", "Other")


@pytest.mark.parametrize(("program", "word"), [("pcs", "0."), ("crm", "crm ")])
def test_both_shells_take_words(cluster: Machine, inside: Inside, program: str, word: str) -> None:
    assert inside.ok(program, ["--version"]).startswith(word)


def test_an_attribute_is_set_and_removed(cluster: Machine, inside: Inside) -> None:
    words = ["--type", "crm_config", "--name", "maintenance-mode"]
    assert inside.ok("crm_attribute", [*words, "--update", "false"]) == ""
    assert "false" in inside.ok("crm_attribute", [*words, "--query"])
    inside.ok("crm_attribute", [*words, "--delete"])
    assert "No such device" in inside.err("crm_attribute", [*words, "--query"])


def test_the_multicast_port_is_changed_in_the_file(cluster: Machine, inside: Inside) -> None:
    conf = "/etc/corosync/corosync.conf"
    before = cluster.run("cat", conf)
    assert "no mcastport" in inside.err("change_mcast_port", 40001)
    ring = "  interface {\n    mcastport: 5405\n  }\n"
    cluster.write(conf, before.replace("  transport", f"{ring}  transport"))
    try:
        inside.ok("change_mcast_port", 40001)
        after = cluster.run("cat", conf)
    finally:
        cluster.write(conf, before)
    assert "mcastport: 40001" in after
    assert "config_version: 1" in after
