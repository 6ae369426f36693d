"""Actions on packages: is it installed, and in which version; on rpm and dpkg systems."""

from __future__ import annotations

from emf_agent.plugin import action
from emf_plugins_host.packages.manager_choice import ask_manager
from emf_plugins_host.packages.names import PackageName

__all__ = ["package_installed", "package_version"]

TIMEOUT_S = 60


@action(timeout_s=TIMEOUT_S, idempotent=True, read_only=True)
async def package_installed(package: PackageName) -> bool:
    """Tell whether a package is installed."""
    return await version_of(package) is not None


@action(timeout_s=TIMEOUT_S, idempotent=True, read_only=True)
async def package_version(package: PackageName) -> str | None:
    """Return a package's version, without epoch and release; null where it is not installed."""
    return await version_of(package)


async def version_of(package: str) -> str | None:
    """Ask the node's package manager; the newest of several."""
    return await ask_manager(lambda manager: manager.installed_version(package))
