"""The texts of lamigo's and lpurge's configurations, and where they go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emf_agent.errors import ActionError
from emf_plugins_lustre.mailboxes.sockets import socket_path

__all__ = ["Lamigo", "Lpurge", "filled"]

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def filled(template: str, values: Mapping[str, object], *, setting: str) -> Path:
    """Return a path with its placeholders filled in; raises ActionError for an unknown one."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            known = " ".join(f"{{{name}}}" for name in values)
            raise ActionError(
                f"{setting}: unknown placeholder {match[0]} in {template!r}; there are {known}"
            )
        return str(values[match[1]])

    path = Path(PLACEHOLDER.sub(value, template))
    if not path.is_absolute():
        raise ActionError(f"{setting}: {str(path)!r} is not an absolute path")
    return path


@dataclass(frozen=True)
class Lamigo:
    """A mirror of hot files, from one MDT's changelog."""

    fs: str
    mdt: int
    user: str
    hot_pool: str
    cold_pool: str
    min_age: int
    mountpoint: str
    mailbox_extend: str
    mailbox_resync: str
    heatfn: str | None

    @property
    def target(self) -> str:
        """Return the MDT's part of a target's name, ``MDT0010``."""
        return f"MDT{self.mdt:04x}"

    def path(self, template: str) -> Path:
        """Return where its configuration goes."""
        values = {
            "fs": self.fs,
            "mdt": self.target,
            "user": self.user,
            "hot_pool": self.hot_pool,
            "cold_pool": self.cold_pool,
            "min_age": self.min_age,
        }
        return filled(template, values, setting="lamigo_conf")

    def text(self, sockets: Path) -> str:
        """Return its configuration."""
        return lines(
            {
                "mdt": f"{self.fs}-{self.target}",
                "mount": self.mountpoint,
                "user": self.user,
                "min-age": self.min_age,
                "src": self.hot_pool,
                "tgt": self.cold_pool,
                "iml-ex-socket": socket_path(sockets, self.mailbox_extend),
                "iml-re-socket": socket_path(sockets, self.mailbox_resync),
                "heatfn": self.heatfn or "none",
            }
        )


@dataclass(frozen=True)
class Lpurge:
    """A purge of mirrors from one OST of a hot pool, as it fills."""

    fs: str
    pool: str
    ost: int
    freehi: int
    freelo: int
    mailbox: str

    @property
    def target(self) -> str:
        """Return the OST's part of a target's name, ``OST0010``."""
        return f"OST{self.ost:04x}"

    def path(self, template: str) -> Path:
        """Return where its configuration goes."""
        values = {
            "fs": self.fs,
            "ost": self.target,
            "pool": self.pool,
            "freehi": self.freehi,
            "freelo": self.freelo,
            "mailbox": self.mailbox,
        }
        return filled(template, values, setting="lpurge_conf")

    def text(self, sockets: Path) -> str:
        """Return its configuration."""
        return lines(
            {
                "device": f"{self.fs}-{self.target}",
                "freehi": self.freehi,
                "freelo": self.freelo,
                "iml_socket": socket_path(sockets, self.mailbox),
                "max_jobs": 0,
                "pool": f"{self.fs}.{self.pool}",
            }
        )


def lines(values: Mapping[str, object]) -> str:
    """Return ``name=value`` lines."""
    return "".join(f"{name}={value}\n" for name, value in values.items())
