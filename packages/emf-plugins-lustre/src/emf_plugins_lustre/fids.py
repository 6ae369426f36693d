"""File identifiers (FIDs), and the items of a task that name files by them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, JsonValue
from typing_extensions import TypedDict

__all__ = ["FailedItem", "Fid", "FidItem", "TaskArguments", "parse_fid"]

FID = re.compile(r"\[0x([0-9a-fA-F]{1,16}):0x([0-9a-fA-F]{1,8}):0x([0-9a-fA-F]{1,8})\]")

Fid = str
"""The text of a FID that :func:`parse_fid` took: ``[0x200000bd1:0x1397:0x0]``."""

Errno = Annotated[int, Field(ge=-32768, le=32767)]


class FidItem(TypedDict):
    """One file of a task; ``data`` is what the manager wants to know it by."""

    fid: str
    data: JsonValue


class FailedItem(TypedDict):
    """One file that a task failed on; ``errno`` is a system's error number or an exit status."""

    fid: str
    data: JsonValue
    errno: Errno


TaskArguments = dict[str, str]


def parse_fid(text: str) -> Fid:
    """Return a FID as the kernel would print it, without superfluous zeros.

    Raises ValueError for what is none, so that no path or option can pass as one.
    """
    match = FID.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:80]!r} is no FID such as [0x200000bd1:0x1397:0x0]")
    sequence, number, version = (int(part, 16) for part in match.groups())
    return f"[{sequence:#x}:{number:#x}:{version:#x}]"
