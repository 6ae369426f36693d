"""The door to this node's identity: its name, and when it and this process began.

All is read once, at start-up, and failures are raised there (W-A7): a name that cannot be resolved
falls back to the plain host name, since the certificate decides in the end.
"""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from emf_agent.errors import ConfigurationError
from emf_agent.plugin import NodeFacts
from emf_agent.wire import format_time

__all__ = ["HostFacts", "node_facts", "read_host_facts", "resolve_fqdn"]


@dataclass(frozen=True)
class HostFacts:
    """Who this node is, as it goes on the wire."""

    fqdn: str
    boot_time: str
    """``server_boot_time`` in the ancestor's form."""
    start_time: str
    """``client_start_time`` in the ancestor's form: this process."""
    boot_id: str


def read_host_facts(fqdn: str | None, *, proc: Path = Path("/proc")) -> HostFacts:
    """Read them; ``fqdn`` is the configured name, which wins.

    Raises:
        ConfigurationError: /proc does not tell the boot time.

    """
    return HostFacts(
        fqdn=fqdn or resolve_fqdn(),
        boot_time=format_time(boot_time(proc)),
        start_time=format_time(datetime.now(timezone.utc)),
        boot_id=boot_id(proc),
    )


def boot_time(proc: Path) -> datetime:
    """Return the moment of the boot, from the ``btime`` line of /proc/stat (proc(5))."""
    try:
        for line in (proc / "stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "btime":
                return datetime.fromtimestamp(int(value), timezone.utc)
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigurationError([f"{proc}/stat: cannot read the boot time: {error}"]) from error
    raise ConfigurationError([f"{proc}/stat has no btime line; is {proc} a proc file system?"])


def boot_id(proc: Path) -> str:
    """Return the kernel's random id of this boot; empty where it has none."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def resolve_fqdn() -> str:
    """Return the full name: host name → address → name, else the host name itself."""
    name = socket.gethostname()
    try:
        address = socket.getaddrinfo(name, None)[0][4]
        found, _ = socket.getnameinfo((str(address[0]), 0), socket.NI_NAMEREQD)
    except OSError:
        return name
    return name if found in ("localhost", "localhost.localdomain") else found


def node_facts(fqdn: str) -> NodeFacts:
    """Return what plugins may look at."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    kernel = os.uname()
    return NodeFacts(
        fqdn=fqdn,
        kernel=kernel.release,
        machine=kernel.machine,
        os_id=release.get("ID", ""),
        os_like=tuple(release.get("ID_LIKE", "").split()),
    )
