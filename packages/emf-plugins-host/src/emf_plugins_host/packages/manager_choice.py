"""Which package manager this node uses: its own family's first, the other where that is missing."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from emf_agent.command import CommandNotFoundError
from emf_agent.errors import ActionError
from emf_plugins_host.packages import dpkg, rpm

__all__ = ["PackageManager", "ask_manager"]

T = TypeVar("T")
DEBIAN = frozenset({"debian", "ubuntu"})


class PackageManager(Protocol):
    """What ``rpm`` and ``dpkg`` can both be asked."""

    async def installed_version(self, name: str) -> str | None:
        """Return the installed version of a package."""

    async def installed_kernels(self) -> list[str]:
        """Return the installed kernels, by the name they boot under, newest first."""


async def ask_manager(question: Callable[[PackageManager], Awaitable[T]]) -> T:
    """Ask the package manager of this node.

    Raises:
        ActionError: there is none that we know, or it failed.

    """
    for manager in managers():
        try:
            return await question(manager)
        except CommandNotFoundError:
            continue
    raise ActionError("this node has neither rpm nor dpkg-query; its packages are not known")


def managers() -> tuple[PackageManager, PackageManager]:
    """Return both, the one of this node's family first (os-release(5))."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    return (dpkg, rpm) if family & DEBIAN else (rpm, dpkg)
