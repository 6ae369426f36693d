"""The folders that scans leave: private, found again by name, removed when they are old."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from emf_agent.errors import ActionError

__all__ = ["inside", "make_scan_folder", "remove_old_scans"]

PREFIX = "emf-scan-"


def make_scan_folder(scan_folder: Path) -> Path:
    """Make a folder for a scan that only its owner can read."""
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=scan_folder))


def remove_old_scans(scan_folder: Path, keep_s: float) -> None:
    """Remove what earlier scans left, once it is old; what cannot be removed stays."""
    for folder in scan_folder.glob(f"{PREFIX}*"):
        try:
            old = time.time() - folder.lstat().st_mtime > keep_s
        except FileNotFoundError:
            continue
        if old and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)


def inside(scan_folder: Path, path: str) -> Path:
    """Return the folder of a list of FIDs; raises ActionError for one that no scan has left.

    The manager names the folder, and what is in it is sent away: it must be one of ours.
    """
    real, top = Path(path).resolve(), scan_folder.resolve()
    if (
        not real.is_relative_to(top)
        or not real.relative_to(top).parts[0:1]
        or not (real.relative_to(top).parts[0].startswith(PREFIX))
    ):
        raise ActionError(f"{path}: not below a folder that a scan left in {scan_folder}")
    if not real.is_dir():
        raise ActionError(f"{path}: no such folder; its scan may be too old, scan again")
    return real
