"""What the actions do at once, and how they are stopped, on asyncio and on trio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from emf_agent.errors import ActionError
from emf_plugins_lustre.client.actions import ClientActions
from emf_plugins_lustre.client.settings import ClientSettings
from emf_plugins_lustre.stratagem.actions import stratagem_actions
from emf_plugins_lustre.stratagem.settings import StratagemSettings
from emf_plugins_lustre.testing.node import SimulatedNode
from emf_plugins_lustre.testing.scenario import SimulatedFile
from tests.lustre.calls import ActionDesk
from tests.lustre.mailbox_fakes import FakeMailboxes
from tests.lustre.real_time import anyio_backend

__all__ = ["anyio_backend"]
pytestmark = pytest.mark.anyio


def fid(number: int) -> str:
    return f"[0x200000bd1:{number:#x}:0x0]"


def items(*numbers: int) -> list[dict[str, Any]]:
    return [{"fid": fid(number), "data": number} for number in numbers]


@pytest.fixture
def manager() -> FakeMailboxes:
    return FakeMailboxes()


@pytest.fixture
def stratagem(simulated_node: SimulatedNode, manager: FakeMailboxes, tmp_path: Path) -> ActionDesk:
    for number in (1, 2, 3):
        file = SimulatedFile(path=f"f{number}", mirrors=("flash",), groups=("warn",))
        simulated_node.add_file(fid(number), file)
    settings = StratagemSettings(scan_folder=tmp_path, patience_s=0, files_at_once=2)
    return ActionDesk(stratagem_actions(settings, manager.door))


async def test_failures_of_files_worked_on_at_once_keep_the_order_of_the_batch(
    stratagem: ActionDesk,
) -> None:
    batch = items(9, 1, 8, 2, 3, 7)
    failed = await stratagem.call("action.mirror.split", ["fs1", {"pool": "flash"}, batch])
    assert [(one["data"], one["errno"]) for one in failed] == [(9, 2), (8, 2), (7, 2)]
    assert stratagem.reports[-1].fraction == 1.0


async def test_what_ends_a_batch_is_told_as_itself(
    stratagem: ActionDesk, simulated_node: SimulatedNode
) -> None:
    simulated_node.remove_program("stgm_cloudsync")
    task = {"remote": "s3", "action": "Push"}
    with pytest.raises(ActionError, match="stgm_cloudsync: No such file"):
        await stratagem.call("action.stratagem.cloudsync", ["fs1", task, items(1, 2, 3)])


async def test_lists_that_are_sent_at_once_fail_each_for_itself(
    stratagem: ActionDesk, manager: FakeMailboxes, tmp_path: Path
) -> None:
    folder = tmp_path / "emf-scan-x"
    folder.mkdir()
    (folder / "0").write_text(f"{fid(1)}\n")
    manager.unknown |= {"a", "c"}
    lists = [[str(folder), mailbox] for mailbox in "abc"]
    with pytest.raises(ActionError, match=r"not all was delivered: a: .*; c: "):
        await stratagem.call("stream_fidlists_stratagem", lists)
    assert manager.fids("b") == [fid(1)]


async def test_a_cancelled_scan_leaves_nothing(
    stratagem: ActionDesk, simulated_node: SimulatedNode, tmp_path: Path
) -> None:
    simulated_node.fail_program("lipe_scan", pause_s=60)
    scan = {
        "flist_type": "none",
        "summarize_size": False,
        "device": {"path": "/dev/mdt", "groups": []},
        "groups": [],
    }
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stratagem.call, "start_scan_stratagem", scan)
        with anyio.fail_after(30):
            while not simulated_node.calls("lipe_scan"):
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert list(tmp_path.glob("emf-scan-*")) == []


async def test_mounting_and_unmounting(simulated_node: SimulatedNode, tmp_path: Path) -> None:
    desk = ActionDesk(ClientActions(ClientSettings(fstab=tmp_path / "fstab")).actions())
    point = str(tmp_path / "mnt")
    request = {"mountspec": "10.0.0.1@tcp:/fs1", "mountpoint": point, "persist": True}
    assert await desk.call("mount", request) is None
    assert point in (tmp_path / "fstab").read_text()
    assert await desk.call("unmount", request) is None
    assert (tmp_path / "fstab").read_text() == ""
