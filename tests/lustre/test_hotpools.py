"""The configurations of lamigo and lpurge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emf_agent.errors import ActionError
from emf_plugins_lustre.hotpools.actions import HotPoolActions
from emf_plugins_lustre.hotpools.settings import HotPoolSettings
from tests.lustre.calls import ActionDesk
from tests.lustre.one_loop import anyio_backend

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio

LAMIGO = {
    "fs": "fs1",
    "mdt": 16,
    "user": "cl1",
    "hot_pool": "fast",
    "cold_pool": "slow",
    "min_age": 35353,
    "mountpoint": "/mnt/fs1",
    "mailbox_extend": "mb-extend",
    "mailbox_resync": "mb-resync",
    "heatfn": None,
}
LPURGE = {
    "fs": "lima",
    "pool": "santiago",
    "ost": 16,
    "freehi": 123,
    "freelo": 60,
    "mailbox": "foobar",
}


def desk(folder: Path, **settings: Any) -> ActionDesk:
    chosen = {
        "lamigo_conf": f"{folder}/lamigo/{{fs}}-{{mdt}}.conf",
        "lpurge_conf": f"{folder}/lpurge/{{fs}}/{{ost}}.conf",
        "socket_folder": "/run/iml",
        **settings,
    }
    return ActionDesk(HotPoolActions(HotPoolSettings(**chosen)).actions())


async def test_lamigo_gets_the_ancestors_text(tmp_path: Path) -> None:
    assert await desk(tmp_path).call("create_lamigo_conf", LAMIGO) is None
    assert (tmp_path / "lamigo/fs1-MDT0010.conf").read_text() == (
        "mdt=fs1-MDT0010\n"
        "mount=/mnt/fs1\n"
        "user=cl1\n"
        "min-age=35353\n"
        "src=fast\n"
        "tgt=slow\n"
        "iml-ex-socket=/run/iml/postman-mb-extend.sock\n"
        "iml-re-socket=/run/iml/postman-mb-resync.sock\n"
        "heatfn=none\n"
    )


async def test_lpurge_gets_the_ancestors_text(tmp_path: Path) -> None:
    assert await desk(tmp_path).call("create_lpurge_conf", LPURGE) is None
    assert (tmp_path / "lpurge/lima/OST0010.conf").read_text() == (
        "device=lima-OST0010\n"
        "freehi=123\n"
        "freelo=60\n"
        "iml_socket=/run/iml/postman-foobar.sock\n"
        "max_jobs=0\n"
        "pool=lima.santiago\n"
    )


async def test_a_heat_function_is_written(tmp_path: Path) -> None:
    await desk(tmp_path).call("create_lamigo_conf", {**LAMIGO, "heatfn": "ewma"})
    assert "heatfn=ewma\n" in (tmp_path / "lamigo/fs1-MDT0010.conf").read_text()


async def test_dry_runs_name_the_file_and_write_nothing(tmp_path: Path) -> None:
    said = await desk(tmp_path).call("create_lamigo_conf", LAMIGO, dry_run=True)
    assert said == f"would write {tmp_path}/lamigo/fs1-MDT0010.conf"
    said = await desk(tmp_path).call("create_lpurge_conf", LPURGE, dry_run=True)
    assert said == f"would write {tmp_path}/lpurge/lima/OST0010.conf"
    assert list(tmp_path.iterdir()) == []


async def test_an_unknown_placeholder_is_named_with_those_there_are(tmp_path: Path) -> None:
    broken = desk(tmp_path, lamigo_conf="/etc/{nope}.conf")
    with pytest.raises(
        ActionError, match=r"lamigo_conf: unknown placeholder \{nope\}.*\{fs\} \{mdt\}"
    ):
        await broken.call("create_lamigo_conf", LAMIGO)


async def test_a_relative_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ActionError, match=r"lpurge_conf: 'x.conf' is not an absolute path"):
        await desk(tmp_path, lpurge_conf="x.conf").call("create_lpurge_conf", LPURGE)


async def test_limits_the_wrong_way_round_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ActionError, match="freelo: 70 is more than freehi"):
        await desk(tmp_path).call("create_lpurge_conf", {**LPURGE, "freehi": 60, "freelo": 70})


async def test_the_ancestors_variables_name_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMIGO_CONF_PATH", "/a/{fs}")
    monkeypatch.setenv("LPURGE_CONF_PATH", "/b/{ost}")
    monkeypatch.setenv("SOCK_DIR", "/run/iml")
    settings = HotPoolSettings()
    assert (settings.lamigo_conf, settings.lpurge_conf) == ("/a/{fs}", "/b/{ost}")
    assert settings.socket_folder == Path("/run/iml")
