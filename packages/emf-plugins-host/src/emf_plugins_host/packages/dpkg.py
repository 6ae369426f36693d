"""The door to dpkg: which version of a package is installed, and which kernels."""

from __future__ import annotations

import re

from emf_agent.command import CommandFailedError, run
from emf_plugins_host.packages.versions import Version

__all__ = ["installed_kernels", "installed_version", "upstream_version"]

NO_MATCH = 1
KERNEL_PACKAGE = re.compile(r"linux-image-(?:unsigned-)?(\d\S*)")


async def installed_version(name: str) -> str | None:
    """Return the package's upstream version, what rpm calls version; None where not installed.

    Raises:
        CommandError: dpkg-query is missing, or failed for another reason.

    """
    lines = await query("${db:Status-Status} ${Version}", name)
    versions = [
        upstream_version(line.partition(" ")[2]) for line in lines if line.startswith("installed ")
    ]
    return max(versions, key=Version, default=None)


async def installed_kernels() -> list[str]:
    """Return the names the kernels boot under, out of their packages' names, the newest first."""
    lines = await query("${db:Status-Status} ${Package}", "linux-image-*")
    found = []
    for line in lines:
        status, _, package = line.partition(" ")
        match = KERNEL_PACKAGE.fullmatch(package)
        if status == "installed" and match is not None:
            found.append(match[1])
    # ``6.1.0-30-amd64``: the build after the first hyphen is a number, too.
    return sorted(found, key=lambda name: Version(name.replace("-", ".")), reverse=True)


async def query(form: str, pattern: str) -> list[str]:
    """Return one line for each package that dpkg knows under a name, installed or not."""
    completed = await run(
        ["dpkg-query", "--show", f"--showformat={form}\\n", "--", pattern], ok_codes=(0, NO_MATCH)
    )
    if completed.returncode == NO_MATCH and "no packages found matching" not in (
        completed.stderr.text
    ):
        raise CommandFailedError(completed)
    return completed.stdout.lines()


def upstream_version(version: str) -> str:
    """Return ``2.12.5`` of ``1:2.12.5-1~deb12u1`` (deb-version(7))."""
    _, _, without_epoch = version.rpartition(":")
    upstream, separator, _ = without_epoch.rpartition("-")
    return upstream if separator else without_epoch
