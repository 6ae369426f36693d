"""The file systems that an MGS on this node knows, from lctl(8)."""

from __future__ import annotations

import re
from collections.abc import Collection

from emf_agent.command import CommandNotFoundError, run

__all__ = ["mgs_file_systems", "parse_names"]

NAME = re.compile(r"^mgs\.[^.\s]+\.live\.(\S+)$", re.MULTILINE)
NO_FILE_SYSTEMS = frozenset({"params", "nodemap"})
ANY_STATUS: Collection[int] = range(256)


async def mgs_file_systems() -> list[str]:
    """Return their names; none where there is no MGS, or no Lustre at all."""
    try:
        completed = await run(["lctl", "get_param", "-N", "mgs.*.live.*"], ok_codes=ANY_STATUS)
    except CommandNotFoundError:
        return []
    return parse_names(completed.stdout.text)


def parse_names(text: str) -> list[str]:
    """Return the names in lctl's list of parameters."""
    return [name for name in NAME.findall(text) if name not in NO_FILE_SYSTEMS]
