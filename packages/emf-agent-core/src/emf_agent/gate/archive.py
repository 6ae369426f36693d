"""Writes the boot archive: these modules and the lock of the core, as one file that Python runs."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from emf_agent.gate.lockfile import Lock, dump_lock

__all__ = ["boot_archive"]

MAIN = '''\
"""Starts the closed world; see emf_agent.gate.boot."""

import sys

from emf_agent.gate import boot

boot.main(sys.path[0], __loader__.get_data("core.lock"))
'''
EPOCH = (1980, 1, 1, 0, 0, 0)


def boot_archive(core: Lock) -> bytes:
    """Return the archive; equal inputs make equal bytes."""
    gate = Path(__file__).parent
    files = {
        "__main__.py": MAIN.encode(),
        "core.lock": dump_lock(core),
        "emf_agent/__init__.py": b'"""The agent, before it is imported."""\n',
        **{f"emf_agent/gate/{one.name}": one.read_bytes() for one in sorted(gate.glob("*.py"))},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)
    return buffer.getvalue()
