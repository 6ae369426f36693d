"""The client's actions against a simulated node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emf_agent.command import CommandFailedError
from emf_agent.errors import ActionError
from emf_plugins_lustre.client.actions import ClientActions
from emf_plugins_lustre.client.settings import ClientSettings
from emf_plugins_lustre.testing.node import SimulatedNode
from tests.lustre.calls import ActionDesk
from tests.lustre.one_loop import anyio_backend

__all__ = ["anyio_backend"]
pytestmark = pytest.mark.anyio

SPEC = "10.0.0.1@tcp:10.0.0.2@tcp:/fs1"


class Client:
    """A desk over a simulated node, with an fstab and a folder to mount on."""

    def __init__(self, node: SimulatedNode, folder: Path) -> None:
        self.node = node
        self.fstab = folder / "fstab"
        self.fstab.write_text("# ours\n/dev/sda1 / xfs defaults 0 0\n")
        self.point = str(folder / "mnt" / "fs1")
        self.desk = ActionDesk(ClientActions(ClientSettings(fstab=self.fstab)).actions())

    def request(self, **more: Any) -> dict[str, Any]:
        return {"mountspec": SPEC, "mountpoint": self.point, "persist": True, **more}

    async def call(self, name: str, args: Any, *, dry_run: bool = False) -> Any:
        return await self.desk.call(name, args, dry_run=dry_run)

    def mounted(self) -> list[str]:
        with self.node.state() as state:
            return [mount["target"] for mount in state.node["mounts"]]


@pytest.fixture
def client(simulated_node: SimulatedNode, tmp_path: Path) -> Client:
    return Client(simulated_node, tmp_path)


async def test_mount_makes_the_folder_mounts_enters_and_tells_systemd(client: Client) -> None:
    assert await client.call("mount", client.request()) is None
    assert client.point in client.mounted()
    assert client.fstab.read_text().splitlines()[2].split("\t")[:3] == [
        SPEC,
        client.point,
        "lustre",
    ]
    assert ["daemon-reload"] in client.node.calls("systemctl")


async def test_mount_of_what_is_mounted_is_ok_and_leaves_fstab_alone(client: Client) -> None:
    await client.call("mount", client.request())
    before = client.fstab.read_text()
    other_order = client.request(mountspec="10.0.0.2@tcp:10.0.0.1@tcp:/fs1", persist=False)
    assert await client.call("mount", other_order) is None
    assert client.fstab.read_text() == before
    assert client.mounted().count(client.point) == 1


async def test_mount_where_another_file_system_is_mounted_is_refused(client: Client) -> None:
    with client.node.state() as state:
        state.node["mounts"].append(
            {"target": client.point, "source": "/dev/sdb", "fstype": "xfs", "options": "rw"}
        )
    with pytest.raises(ActionError, match=r"holds /dev/sdb \(xfs\), not 10\.0\.0\.1@tcp"):
        await client.call("mount", client.request())


async def test_a_mount_that_fails_is_an_error_and_is_not_entered(client: Client) -> None:
    before = client.fstab.read_text()
    with pytest.raises(CommandFailedError, match=r"^exit code: 2, stdout: , stderr: mount\.lustre"):
        await client.call("mount", client.request(mountspec="10.0.0.1@tcp:/fs9"))
    assert client.fstab.read_text() == before


async def test_a_dry_run_says_what_it_would_do_and_does_nothing(client: Client) -> None:
    before = client.fstab.read_text()
    said = await client.call("mount", client.request(), dry_run=True)
    assert said == f"would: mount {SPEC} at {client.point} and enter it in {client.fstab}"
    assert client.fstab.read_text() == before
    assert client.node.calls("mount") == []
    assert not Path(client.point).exists()


async def test_mount_many_stops_at_the_first_error(client: Client) -> None:
    requests = [
        client.request(mountpoint=f"{client.point}-{name}", mountspec=f"10.0.0.1@tcp:/{name}")
        for name in ("fs1", "fs9", "fs1")
    ]
    with pytest.raises(CommandFailedError):
        await client.call("mount_many", requests)
    assert [point for point in client.mounted() if point.startswith(client.point)] == [
        f"{client.point}-fs1"
    ]


async def test_unmount_takes_it_out_of_fstab_and_unmounts(client: Client) -> None:
    before = client.fstab.read_text()
    await client.call("mount", client.request())
    assert await client.call("unmount", client.request()) is None
    assert client.point not in client.mounted()
    assert client.fstab.read_text() == before


async def test_unmount_twice_is_fine(client: Client) -> None:
    await client.call("mount", client.request())
    await client.call("unmount", client.request())
    assert await client.call("unmount", client.request()) is None


async def test_unmount_of_a_busy_mount_is_an_error(client: Client) -> None:
    await client.call("mount", client.request())
    client.node.fail_program("umount", status=32, stderr=f"umount: {client.point}: target is busy.")
    with pytest.raises(CommandFailedError, match=r"exit code: 32, .*target is busy"):
        await client.call("unmount", client.request())


async def test_unmount_does_not_touch_what_is_not_lustre(client: Client) -> None:
    with client.node.state() as state:
        state.node["mounts"].append(
            {"target": client.point, "source": "/dev/sdb", "fstype": "xfs", "options": "rw"}
        )
    with pytest.raises(ActionError, match="no Lustre client; it is not touched"):
        await client.call("unmount", client.request())
    assert client.point in client.mounted()


async def test_unmount_many_unmounts_each(client: Client) -> None:
    requests = [client.request(mountpoint=f"{client.point}-{number}") for number in range(2)]
    await client.call("mount_many", requests)
    assert await client.call("unmount_many", requests) is None
    assert not [point for point in client.mounted() if point.startswith(client.point)]


async def test_an_unmount_that_fails_among_many_is_seen(client: Client) -> None:
    requests = [client.request(mountpoint=f"{client.point}-{number}") for number in range(2)]
    await client.call("mount_many", requests)
    client.node.fail_program("umount", f"{client.point}-0", status=32, stderr="busy")
    with pytest.raises(CommandFailedError, match="exit code: 32"):
        await client.call("unmount_many", requests)


async def test_fstab_entries_come_and_go_without_a_mount(client: Client) -> None:
    before = client.fstab.read_text()
    assert await client.call("add_fstab_entry", client.request()) is None
    assert Path(client.point).is_dir()
    assert client.point in client.fstab.read_text()
    assert await client.call("remove_fstab_entry", client.request()) is None
    assert client.fstab.read_text() == before
    assert client.node.calls("mount") == []


async def test_fstab_keeps_its_mode_and_bytes_that_are_no_utf8(client: Client) -> None:
    client.fstab.write_bytes(b"# caf\xe9\n")
    client.fstab.chmod(0o640)
    await client.call("add_fstab_entry", client.request())
    assert client.fstab.read_bytes().startswith(b"# caf\xe9\n10.0.0.1@tcp")
    assert client.fstab.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in client.fstab.parent.glob(".fstab.*")] == []


async def test_a_symbolic_link_stays_one(client: Client) -> None:
    real = client.fstab.rename(client.fstab.with_name("real"))
    client.fstab.symlink_to(real)
    await client.call("add_fstab_entry", client.request())
    assert client.fstab.is_symlink()
    assert client.point in real.read_text()


async def test_without_systemd_fstab_is_still_written(client: Client) -> None:
    client.node.remove_program("systemctl")
    assert await client.call("add_fstab_entry", client.request()) is None
    assert client.point in client.fstab.read_text()


async def test_an_fstab_that_cannot_be_written_is_named(client: Client) -> None:
    client.fstab.unlink()
    client.fstab.mkdir()
    with pytest.raises(ActionError, match=r"fstab: Is a directory \(os error 21\)"):
        await client.call("add_fstab_entry", client.request())


async def test_a_mount_below_a_symbolic_link_is_known_as_mounted(client: Client) -> None:
    await client.call("mount", client.request())
    link = client.fstab.parent / "link"
    link.symlink_to(Path(client.point).parent)
    assert await client.call("mount", client.request(mountpoint=str(link / "fs1"))) is None
    assert len(client.node.calls("mount")) == 1
