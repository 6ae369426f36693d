"""The durable cursor: the last entry that the manager has stored."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

__all__ = ["load_cursor", "save_cursor"]

NAME = "journal.cursor"
CURSOR = re.compile(r"[A-Za-z0-9=;_.-]{1,512}")


def load_cursor(directory: Path) -> str | None:
    """Return the cursor; None where there is none yet, or the file holds something else."""
    try:
        text = (directory / NAME).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if CURSOR.fullmatch(text) else None


def save_cursor(directory: Path, cursor: str) -> None:
    """Write the cursor down, whole or not at all; raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    new = directory / f"{NAME}.new"
    try:
        with new.open("w", encoding="ascii") as file:
            file.write(f"{cursor}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(directory / NAME)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
