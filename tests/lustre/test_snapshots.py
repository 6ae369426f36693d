"""Snapshots: the actions and the daemon, against a simulated node."""

from __future__ import annotations

from typing import Any

import pytest

from emf_agent.command import CommandFailedError
from emf_agent.plugin import DaemonFault
from emf_agent.plugin.daemon import payload_adapter
from emf_plugins_lustre.snapshots.actions import snapshot_actions
from emf_plugins_lustre.snapshots.daemon import Snapshots
from emf_plugins_lustre.snapshots.listing import parse_snapshots
from emf_plugins_lustre.testing.node import SimulatedNode
from tests.lustre.calls import ActionDesk
from tests.lustre.real_time import anyio_backend

__all__ = ["anyio_backend"]

ONE = {"fsname": "fs1", "name": "s1"}


@pytest.fixture
def desk(simulated_node: SimulatedNode) -> ActionDesk:
    return ActionDesk(snapshot_actions())


def dump(value: Any) -> Any:
    return payload_adapter(Snapshots).dump_python(value, mode="json")


@pytest.mark.anyio
async def test_a_snapshot_lives_and_dies(desk: ActionDesk, simulated_node: SimulatedNode) -> None:
    create = {**ONE, "use_barrier": True, "comment": "every night"}
    assert await desk.call("snapshot_create", create) is None
    words = "snapshot_create --fsname fs1 --name s1 --barrier on --comment"
    assert simulated_node.calls("lctl")[-1] == [*words.split(), "every night"]
    assert await desk.call("snapshot_mount", ONE) is None
    with pytest.raises(CommandFailedError, match="busy"):
        await desk.call("snapshot_destroy", {**ONE, "force": False})
    assert await desk.call("snapshot_unmount", ONE) is None
    assert await desk.call("snapshot_destroy", {**ONE, "force": False}) is None
    with pytest.raises(CommandFailedError, match="Can't find the snapshot"):
        await desk.call("snapshot_destroy", {**ONE, "force": True})


@pytest.mark.anyio
async def test_a_dry_run_says_the_command_and_runs_nothing(
    desk: ActionDesk, simulated_node: SimulatedNode
) -> None:
    said = await desk.call("snapshot_destroy", {**ONE, "force": True}, dry_run=True)
    assert said == "would run: lctl snapshot_destroy --fsname fs1 --name s1 --force"
    said = await desk.call("snapshot_create", {**ONE, "use_barrier": False}, dry_run=True)
    assert said == "would run: lctl snapshot_create --fsname fs1 --name s1 --barrier off"
    for name in ("snapshot_mount", "snapshot_unmount"):
        said = await desk.call(name, ONE, dry_run=True)
        assert said.startswith("would run: lctl snapshot_")
    assert simulated_node.calls() == []


@pytest.mark.anyio
async def test_the_daemon_sends_snapshots_in_the_ancestors_shape(
    desk: ActionDesk, simulated_node: SimulatedNode
) -> None:
    with simulated_node.state() as state:
        state.cluster["snapshots"]["fs1"] = {
            "s1": {"label": "3a1b2c4d", "time": 1604388443, "comment": None, "mounted": False},
            "s2": {"label": "5e6f7a8b", "time": 1604388443, "comment": "a b", "mounted": True},
        }
    expected = {
        "filesystem_name": "fs1",
        "snapshot_name": "s1",
        "snapshot_fsname": "3a1b2c4d",
        "modify_time": "2020-11-03T07:27:23Z",
        "create_time": "2020-11-03T07:27:23Z",
        "mounted": False,
        "comment": None,
    }
    mounted = {
        **expected,
        "snapshot_name": "s2",
        "snapshot_fsname": "5e6f7a8b",
        "mounted": True,
        "comment": "a b",
    }
    assert dump(await Snapshots().start_session()) == {"fs1": [expected, mounted]}


@pytest.mark.anyio
async def test_losing_the_last_snapshot_is_told(
    desk: ActionDesk, simulated_node: SimulatedNode
) -> None:
    daemon = Snapshots()
    await desk.call("snapshot_create", {**ONE, "use_barrier": False})
    first = await daemon.start_session()
    assert first is not None
    assert [one.snapshot_name for one in first["fs1"]] == ["s1"]
    await desk.call("snapshot_destroy", {**ONE, "force": False})
    await daemon._look(starting=False)
    assert await daemon.update_session() == {"fs1": ()}


@pytest.mark.anyio
async def test_losing_the_first_mdt_is_told(simulated_node: SimulatedNode) -> None:
    daemon = Snapshots()
    assert await daemon.start_session() == {"fs1": ()}
    with simulated_node.state() as state:
        del state.node["targets"]["fs1-MDT0000"]
    await daemon._look(starting=False)
    assert await daemon.update_session() == {}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("program", "words"),
    [
        pytest.param("lctl", ("snapshot", "-l"), id="list"),
        pytest.param("lctl", ("--get_label",), id="label"),
        pytest.param("findmnt", (), id="mounts"),
    ],
)
async def test_a_listing_that_fails_is_a_fault_and_keeps_the_last_value(
    desk: ActionDesk, simulated_node: SimulatedNode, program: str, words: tuple[str, ...]
) -> None:
    daemon = Snapshots()
    await desk.call("snapshot_create", {**ONE, "use_barrier": False})
    before = await daemon.start_session()
    simulated_node.fail_program(program, *words, status=5, stderr="Input/output error")
    await daemon._look(starting=False)
    with pytest.raises(DaemonFault, match="Input/output error"):
        await daemon.update_session()
    simulated_node.heal_programs()
    await daemon._look(starting=False)
    assert await daemon.update_session() == before


def test_lines_that_are_no_snapshots_are_skipped() -> None:
    text = (
        "nightly 1604388443 1604388500 a comment with words\n"
        "plain 1604388443 1604388500\n"
        "a heading of some kind\n"
        "late 1604388443 never\n"
        "\n"
    )
    found = parse_snapshots(text)
    assert [(one.name, one.comment) for one in found] == [
        ("nightly", "a comment with words"),
        ("plain", None),
    ]
    assert found[0].modify_time.timestamp() == 1604388500
