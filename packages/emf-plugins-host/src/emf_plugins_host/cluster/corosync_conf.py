"""The edit of corosync.conf that changes the multicast port. Pure text, corosync.conf(5)."""

from __future__ import annotations

import re

from emf_agent.errors import ActionError

__all__ = ["change_port", "config_version", "next_version"]

PORT = re.compile(r"^(\s*mcastport\s*:\s*)([^\s#]*)")
VERSION = re.compile(r"^\s*version\s*:")
CONFIG_VERSION = re.compile(r"^\s*config_version\s*:")
RUNNING_VERSION = re.compile(r"^totem\.config_version \(u64\) = (\d+)$", re.MULTILINE)
HIGHEST = 2**64 - 1


def change_port(text: str, port: int, version: int) -> str:
    """Return the file with a new port for each interface and a new ``config_version``.

    Comments, order and spacing stay; the text ends with one line's end.

    Raises:
        ActionError: there is no port to change, or no place for the version.

    """
    lines: list[str] = []
    ports = places = 0
    for line in text.strip().splitlines():
        if CONFIG_VERSION.match(line):
            continue
        changed, count = PORT.subn(lambda match: f"{match[1]}{port}", line, count=1)
        ports += count
        lines.append(changed)
        if VERSION.match(line):
            lines.append(f"    config_version: {version}")
            places += 1
    if not ports:
        raise ActionError("corosync.conf names no mcastport; its transport needs none, or add one")
    if not places:
        raise ActionError("corosync.conf has no version line in its totem section")
    return "\n".join(lines) + "\n"


def config_version(cmap: str) -> int:
    """Return the version that corosync runs with, out of ``corosync-cmapctl totem``; 0: none."""
    match = RUNNING_VERSION.search(cmap)
    return int(match[1]) if match else 0


def next_version(running: int) -> int:
    """Return the version after the one that runs."""
    if running >= HIGHEST:
        raise ActionError(f"config_version is {running} already, which is the highest there is")
    return running + 1
