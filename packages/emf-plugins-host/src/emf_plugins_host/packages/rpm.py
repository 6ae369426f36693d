"""The door to rpm: which version of a package is installed, and which kernels."""

from __future__ import annotations

from emf_agent.command import CommandFailedError, Completed, run
from emf_plugins_host.packages.versions import Version

__all__ = ["installed_kernels", "installed_version"]

NOT_INSTALLED = 1


async def installed_version(name: str) -> str | None:
    """Return the package's version without epoch and release; the newest of several; else None.

    Raises:
        CommandError: rpm is missing, or failed for another reason.

    """
    return max(await query("%{VERSION}", name), key=Version, default=None)


async def installed_kernels() -> list[str]:
    """Return ``version-release.architecture``, the name it boots under, the newest first."""
    kernels = await query("%{VERSION}-%{RELEASE}.%{ARCH}", "kernel")
    return sorted(set(kernels), key=Version, reverse=True)


async def query(form: str, name: str) -> list[str]:
    """Return one line for each installed package of a name; none where there is none."""
    completed = await run(
        ["rpm", "--query", "--queryformat", f"{form}\\n", "--", name],
        ok_codes=(0, NOT_INSTALLED),
    )
    if completed.returncode == 0:
        if complaints(completed):
            # rpm reports a fault in the query itself this way, with status 0.
            raise CommandFailedError(completed)
        return completed.stdout.lines()
    if completed.stdout.text == f"package {name} is not installed\n":
        return []
    raise CommandFailedError(completed)


def complaints(completed: Completed) -> list[str]:
    """Return what rpm wrote to stderr apart from warnings."""
    return [line for line in completed.stderr.lines() if not line.startswith("warning:")]
