"""``lctl`` under its policy, and ldev.conf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.command import CommandFailedError
from emf_agent.errors import ActionError
from emf_plugins_lustre.targets.actions import TargetActions
from emf_plugins_lustre.targets.lctl_policy import is_allowed
from emf_plugins_lustre.targets.ldev import LdevEntry, entries_of, with_entries
from emf_plugins_lustre.targets.settings import TargetSettings
from emf_plugins_lustre.testing.node import SimulatedNode
from tests.lustre.calls import ActionDesk
from tests.lustre.one_loop import anyio_backend

__all__ = ["anyio_backend"]


def desk(**settings: Any) -> ActionDesk:
    return ActionDesk(TargetActions(TargetSettings(**settings)).actions())


@pytest.mark.anyio
async def test_lctl_returns_what_it_printed(simulated_node: SimulatedNode) -> None:
    assert await desk().call("lctl", ["list_nids"]) == "10.0.0.1@tcp\n"
    assert await desk().call("lctl", ["get_param", "-n", "version"]) == "lustre: 2.15.5\n"


@pytest.mark.anyio
async def test_a_failure_of_lctl_is_told_with_status_and_output(
    simulated_node: SimulatedNode,
) -> None:
    with pytest.raises(CommandFailedError) as caught:
        await desk().call("lctl", ["get_param", "nope"])
    assert str(caught.value) == (
        "exit code: 2, stdout: , stderr: error: get_param: param_path 'nope':"
        " No such file or directory\n"
    )


@pytest.mark.anyio
async def test_a_refused_command_says_how_to_allow_it_and_runs_nothing(
    simulated_node: SimulatedNode,
) -> None:
    with pytest.raises(
        ActionError, match=r"lctl set_param is not allowed on this node.*lctl_allow"
    ):
        await desk().call("lctl", ["set_param", "jobid_var=disable"])
    assert simulated_node.calls() == []


@pytest.mark.anyio
async def test_an_allowed_command_changes_the_node(simulated_node: SimulatedNode) -> None:
    allowed = desk(lctl_allow=["set_param jobid_var=*"])
    assert await allowed.call("lctl", ["set_param", "jobid_var=disable"]) == "jobid_var=disable\n"
    assert await allowed.call("lctl", ["get_param", "-n", "jobid_var"]) == "disable\n"


@pytest.mark.anyio
async def test_a_dry_run_of_lctl_says_what_it_would_run(simulated_node: SimulatedNode) -> None:
    said = await desk().call("lctl", ["list_nids"], dry_run=True)
    assert said == "would run: lctl list_nids"
    assert simulated_node.calls() == []


@pytest.mark.anyio
async def test_a_dry_run_of_a_refused_command_is_refused() -> None:
    with pytest.raises(ActionError, match="not allowed"):
        await desk().call("lctl", ["network", "down"], dry_run=True)


@pytest.mark.parametrize(
    ("arguments", "allowed", "expected"),
    [
        pytest.param(["get_param", "-n", "x"], [], True, id="reading"),
        pytest.param(["--device", "fs1-MDT0000", "lfsck_query"], [], True, id="of a device"),
        pytest.param(["set_param", "x=1"], [], False, id="changing"),
        pytest.param(["--device", "1", "abort_recovery"], [], False, id="changing a device"),
        pytest.param(["dk", "/etc/passwd"], [], False, id="writes a file"),
        pytest.param([], ["*"], False, id="nothing at all"),
        pytest.param(["--device", "7"], ["*"], False, id="options only"),
        pytest.param(["conf_param", "x=1"], ["*"], True, id="all allowed"),
        pytest.param(["set_param", "x=1"], ["set_param"], True, id="a command"),
        pytest.param(["set_param", "a.b=1"], ["set_param a.*"], True, id="a parameter"),
        pytest.param(["set_param", "a.b=1", "a.c=2"], ["set_param a.*"], True, id="all fit"),
        pytest.param(["set_param", "a.b=1", "z=2"], ["set_param a.*"], False, id="one does not"),
        pytest.param(["set_param", "-P", "a.b=1"], ["set_param a.*"], False, id="an option more"),
        pytest.param(["set_param"], ["set_param a.*"], False, id="fewer words"),
        pytest.param(["--net", "tcp", "set_param", "a=1"], ["--net"], False, id="option"),
    ],
)  # fmt: skip
def test_the_policy(arguments: list[str], allowed: list[str], expected: bool) -> None:
    assert is_allowed(arguments, allowed) is expected


def test_an_empty_allowance_is_refused() -> None:
    with pytest.raises(ValueError, match="an allowance is empty"):
        TargetSettings(lctl_allow=("  ",))


ENTRIES = [
    {
        "primary": "mds1",
        "failover": "mds2",
        "label": "MGS",
        "device": "zfs:mdt0/mdt0",
        "fs_type": "zfs",
    },
    {"primary": "oss1", "label": "fs1-OST0000", "device": "/dev/mapper/ost0", "fs_type": "ldiskfs"},
    {"primary": "oss2", "failover": None, "label": "fs1-OST0001", "device": "/dev/mapper/ost1"},
]
TEXT = (
    "mds1 mds2 MGS zfs:mdt0/mdt0\n"
    "oss1 - fs1-OST0000 ldiskfs:/dev/mapper/ost0\n"
    "oss2 - fs1-OST0001 /dev/mapper/ost1\n"
)


@pytest.mark.anyio
async def test_ldev_conf_is_written_as_ldev_reads_it(tmp_path: Path) -> None:
    conf = tmp_path / "ldev.conf"
    assert await desk(ldev_conf=conf).call("create_ldev_conf", ENTRIES) is None
    assert conf.read_text() == TEXT


@pytest.mark.anyio
async def test_a_dry_run_of_ldev_conf_writes_nothing(tmp_path: Path) -> None:
    conf = tmp_path / "ldev.conf"
    said = await desk(ldev_conf=conf).call("create_ldev_conf", ENTRIES, dry_run=True)
    assert said == f"would write {conf}, 3 targets"
    assert not conf.exists()


@pytest.mark.anyio
async def test_no_entries_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ActionError, match="entries: must not be empty"):
        await desk(ldev_conf=tmp_path / "x").call("create_ldev_conf", [])


def test_the_ancestors_variable_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDEV_CONF_PATH", "/somewhere/ldev.conf")
    assert TargetSettings().ldev_conf == Path("/somewhere/ldev.conf")


def test_a_device_that_moved_is_written_although_the_labels_are_the_same() -> None:
    moved = [LdevEntry("mds2", "mds1", "MGS", "zfs:mdt0/mdt0")]
    assert with_entries("mds1 mds2 MGS zfs:mdt0/mdt0\n", moved) == "mds2 mds1 MGS zfs:mdt0/mdt0\n"


def test_a_file_with_the_same_entries_stays_to_the_byte() -> None:
    text = "# targets\n\nmds1  mds2\tMGS zfs:mdt0/mdt0"
    assert with_entries(text, [LdevEntry("mds1", "mds2", "MGS", "zfs:mdt0/mdt0")]) == text


def test_comments_and_blank_lines_stay() -> None:
    text = "# by hand\n\n# more\nold - fs1-OST0009 /dev/x\n\n"
    after = with_entries(text, [LdevEntry("mds1", None, "MGS", "/dev/y")])
    assert after == "# by hand\n\n# more\nmds1 - MGS /dev/y\n"


words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=6)
entries = st.lists(
    st.builds(
        LdevEntry,
        words,
        st.none() | words,
        words,
        words,
        st.sampled_from([None, "zfs", "ldiskfs"]),
    ),
    min_size=1,
)


@given(st.text(), entries)
def test_whatever_was_there_the_entries_are_those_asked_for(
    text: str, wanted: list[LdevEntry]
) -> None:
    after = with_entries(text, wanted)
    assert entries_of(after) == {one.line for one in wanted}
    assert with_entries(after, wanted) == after
