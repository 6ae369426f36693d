"""What every admin command shares: the data directory, its store and authority, and who acts."""

from __future__ import annotations

import functools
import getpass
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import anyio
import click

from emf_manager.client.program import Group
from emf_manager.server.data_dir import act_as_owner, prepare_data_dir
from emf_manager.settings import DEFAULT_DATA_DIR, Settings

if TYPE_CHECKING:
    from pydantic import JsonValue

    from emf_manager.identity.authorities import Authorities
    from emf_manager.identity.authority import Authority
    from emf_manager.records import NewAudit
    from emf_manager.store.interface import Store

__all__ = ["AdminGroup", "Workbench", "moment_text", "on_data_dir", "workbench", "works"]

P = ParamSpec("P")
R = TypeVar("R")


class AdminGroup(Group):
    """A group whose errors are one line each and name this program."""

    program = "emf-manager"


@dataclass(frozen=True)
class Workbench:
    """One command at work on one data directory."""

    settings: Settings
    store: Store
    authorities: Authorities
    now: float

    @property
    def authority(self) -> Authority:
        """The one that issues."""
        return self.authorities.issuing

    def line(self, what: str, subject: str | None = None, **detail: JsonValue) -> NewAudit:
        """Return the audit line of what this command does."""
        from emf_manager.records import NewAudit

        return NewAudit(self.now, f"admin:{who()}", what, subject, "ok", dict(detail))

    @property
    def url(self) -> str | None:
        """Where a server serves this data directory now; None where none does."""
        try:
            return self.settings.url_file.read_text(encoding="utf-8").strip()
        except OSError:
            return None


@asynccontextmanager
async def workbench(settings: Settings) -> AsyncGenerator[Workbench, None]:
    """Open what a data directory has, made where it is new."""
    # Late: a command's help, and a wrong flag, need neither cryptography nor SQLAlchemy. Not later
    # than here: the directory's owner may not be able to read where root's Python is installed.
    from emf_manager.identity.authorities import open_authorities
    from emf_manager.store.sql import open_store

    prepare_data_dir(settings.data_dir)
    act_as_owner(settings.data_dir)
    now = time.time()
    authorities = open_authorities(settings.authority_dir, now=now)
    async with open_store(settings.store_url) as store:
        yield Workbench(settings, store, authorities, now)


def on_data_dir(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options that say which data directory, and which store, a command is about."""
    where = click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        default=DEFAULT_DATA_DIR,
        envvar="EMF_MANAGER_DATA_DIR",
        show_default=True,
        show_envvar=True,
        help="Everything the manager keeps.",
    )
    store = click.option(
        "--store",
        metavar="URL",
        envvar="EMF_MANAGER_STORE",
        show_envvar=True,
        help="postgresql://… in place of SQLite in the data directory.",
    )
    return where(store(command))


def works(body: Callable[Concatenate[Workbench, P], Awaitable[R]]) -> Callable[..., R]:
    """Make a command's function of an async one that is given the open workbench first."""

    @on_data_dir
    @functools.wraps(body)
    def command(data_dir: Path, store: str | None, **options: Any) -> R:
        async def at_work() -> R:
            async with workbench(Settings(data_dir, store=store)) as bench:
                return await body(bench, **options)  # type: ignore[call-arg]

        return anyio.run(at_work)

    return command


def who() -> str:
    """Return who gives the command: the person behind sudo, where there is one."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def moment_text(seconds: float | None) -> str:
    """Return a time for people, in UTC."""
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
