"""The names Lustre gives to things, as argument types; none can be taken for an option or a path.

Lengths are those of the Lustre headers: eight characters of a file system, fifteen of a pool.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

__all__ = [
    "FILE_SYSTEM",
    "FileSystemName",
    "MailboxName",
    "MountPoint",
    "MountSpec",
    "NodeName",
    "OstName",
    "PoolName",
    "SnapshotName",
    "TargetIndex",
    "file_system_of_target",
    "is_file_system_name",
    "is_pool_name",
    "is_report_name",
]

FILE_SYSTEM = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,7}"
POOL = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,14}"

FileSystemName = Annotated[
    str,
    StringConstraints(pattern=rf"^{FILE_SYSTEM}$"),
    Field(description="name of a file system, as in fs1", examples=["fs1"]),
]
PoolName = Annotated[
    str,
    StringConstraints(pattern=rf"^{POOL}$"),
    Field(description="name of an OST pool, without the file system", examples=["flash"]),
]
OstName = Annotated[
    str,
    StringConstraints(pattern=rf"^{FILE_SYSTEM}-OST[0-9a-fA-F]{{4}}(_UUID)?$"),
    Field(description="name of an OST", examples=["fs1-OST0000"]),
]
SnapshotName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}$"),
    Field(description="name of a snapshot", examples=["nightly-1"]),
]
MailboxName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][!-.0-~]{0,199}$"),
    Field(description="name of a mailbox of the manager: no blank, no slash"),
]
NodeName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$"),
    Field(description="name of a node", examples=["oss1"]),
]
TargetIndex = Annotated[
    int, Field(ge=0, le=0xFFFF, description="index of a target, 16 for fs1-OST0010")
]
MountSpec = Annotated[
    str,
    StringConstraints(pattern=rf"^[A-Za-z0-9_\[][^\s/]*:/{FILE_SYSTEM}(/[^\s]*)?$"),
    Field(description="NIDs of the MGS and file system", examples=["10.0.0.1@tcp:/fs1"]),
]


def normal_mount_point(text: str) -> str:
    """Return a mount point without superfluous slashes; refuse what is not one."""
    parts = [part for part in text.split("/") if part]
    if not text.startswith("/") or ".." in parts or "." in parts:
        raise ValueError(f"{text!r} is not an absolute path without . and ..")
    if not parts:
        raise ValueError("'/' is not a place to mount a file system")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ValueError(f"{text!r} contains a control character")
    return "/" + "/".join(parts)


MountPoint = Annotated[
    str,
    AfterValidator(normal_mount_point),
    Field(description="absolute path of a mount point", examples=["/mnt/fs1"]),
]


def is_file_system_name(text: str) -> bool:
    """Tell whether a text is a file system's name."""
    return re.fullmatch(FILE_SYSTEM, text) is not None


def is_pool_name(text: str) -> bool:
    """Tell whether a text is a pool's name, without the file system."""
    return re.fullmatch(POOL, text) is not None


def is_report_name(text: str) -> bool:
    """Tell whether a text is a plain file name: no way out of the reports' folder (W-S5)."""
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+@=-]{0,254}", text) is not None


def file_system_of_target(target: str) -> str:
    """Return ``fs1`` of ``fs1-MDT0000`` or ``fs1-OST0010_UUID``; a name may hold dashes."""
    return target.rpartition("-")[0]
