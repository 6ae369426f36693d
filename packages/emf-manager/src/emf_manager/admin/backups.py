"""``emf-manager backup`` and ``restore``: the database, without the authority's key."""

from __future__ import annotations

import functools
from pathlib import Path

import anyio
import click

from emf_agent.errors import UsageError
from emf_manager.admin.workbench import Workbench, on_data_dir, workbench, works
from emf_manager.client.output import hint
from emf_manager.server.data_dir import give_to_owner, only_server, prepare_data_dir
from emf_manager.settings import Settings
from emf_manager.store.backup import back_up, epoch_of, put_back

__all__ = ["backup", "restore"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@works
async def backup(bench: Workbench, file: Path) -> None:
    """Write a backup of the database to FILE, also while the server runs.

    The certificate authority's key is not in it: keep a copy of the folder authority apart.
    """
    only_sqlite(bench.settings)
    await anyio.to_thread.run_sync(back_up, bench.settings.database, file)
    await bench.store.audit(bench.line("back up", str(file)))
    hint(f"{file} is written; {bench.settings.authority_dir} is not in it, keep that apart")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@on_data_dir
def restore(file: Path, data_dir: Path, store: str | None) -> None:
    """Put a backup in the place of the database. The server must not run."""
    settings = Settings(data_dir, store=store)
    only_sqlite(settings)
    prepare_data_dir(data_dir)
    with only_server(data_dir):
        before = epoch_of(settings.database) or 0
        replaced = put_back(file, settings.database)
        give_to_owner(settings.database)
        epoch = anyio.run(functools.partial(raise_epoch, settings, file, before))
    hint(f"{file} is restored with epoch {epoch}: agents follow it and no older manager")
    if replaced is not None:
        hint(f"the database before is kept as {replaced}")


async def raise_epoch(settings: Settings, file: Path, before: int) -> int:
    """Have agents see that this manager may have forgotten something."""
    async with workbench(settings) as bench:
        epoch = await bench.store.raise_epoch(above=before)
        await bench.store.audit(bench.line("restore", str(file), epoch=epoch))
        return epoch


def only_sqlite(settings: Settings) -> None:
    if settings.store is not None:
        raise UsageError("only the data directory's own database; for PostgreSQL use pg_dump")
