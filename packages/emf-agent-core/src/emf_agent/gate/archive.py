"""Writes the boot archive: these modules and the lock of the core, as one file that Python runs."""

from __future__ import annotations

import importlib.util
import io
import marshal
import zipfile

from emf_agent.gate.locked_files import LockedFiles
from emf_agent.gate.lockfile import Lock, dump_lock

__all__ = ["boot_archive"]

MAIN = '''\
"""Starts the closed world; see emf_agent.gate.boot."""

import sys

from emf_agent.gate import boot

boot.main(sys.path[0], __loader__.get_data("core.lock"))
'''
GATE = "emf_agent/gate/"
EPOCH = (1980, 1, 1, 0, 0, 0)


def boot_archive(core: Lock) -> bytes:
    """Return the archive; equal inputs make equal bytes.

    Its modules are those that the lock of the core holds. Beside each source stands its code for
    this interpreter; another one compiles the source.

    Raises:
        OSError, TamperedError: a module is not there, or not what was locked.

    """
    locked = LockedFiles(core)
    sources = {
        "emf_agent/__init__.py": b'"""The agent, before it is imported."""\n',
        **{
            file: locked.read(one.path(file))
            for one in core.distributions.values()
            for file in sorted(one.files)
            if file.startswith(GATE) and file.endswith(".py")
        },
    }
    files = {
        "__main__.py": MAIN.encode(),
        "core.lock": dump_lock(core),
        **sources,
        **{f"{name}c": unchecked_code(name, source) for name, source in sources.items()},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)
    return buffer.getvalue()


def unchecked_code(name: str, source: bytes) -> bytes:
    """Return compiled code that is not compared with its source (PEP 552): both are in one file."""
    code = compile(source, f"<boot>/{name}", "exec", dont_inherit=True)
    flags, no_hash = (1).to_bytes(4, "little"), bytes(8)
    # Version 2 of the format shares nothing between objects, so that its bytes are always equal.
    return importlib.util.MAGIC_NUMBER + flags + no_hash + marshal.dumps(code, 2)
