"""The second line: an audit hook that refuses code from files that are neither locked nor Python's.

It catches what goes past the import table (``spec_from_file_location``, ``runpy``,
``exec(open(...))`` by a careless plugin) and cannot be removed. In a test it collects instead, and
is the oracle: whatever ran, the list of foreign files must be empty.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Sequence
from types import CodeType
from typing import Any

from emf_agent.gate.finder import is_standard

__all__ = ["ForeignCodeError", "foreign_file", "watch_code"]


class ForeignCodeError(ImportError):
    """Code of a file that is not in the lock was about to run."""

    def __init__(self, path: str) -> None:
        super().__init__(f"refused(foreign): {path} is not in the lock")
        self.path = path


def foreign_file(code: Any, locked: Container[str], standard: Sequence[str]) -> str | None:
    """Return the file of a code object where it is foreign; generated code has none."""
    if not isinstance(code, CodeType):
        return None
    path = code.co_filename
    if path.startswith("<") or path in locked or is_standard(path, standard):
        return None
    return path


def refuse(path: str) -> None:
    """Stop the code from running."""
    raise ForeignCodeError(path)


def watch_code(
    locked: Container[str],
    standard: Sequence[str],
    own: str,
    on_foreign: Callable[[str], None] = refuse,
) -> None:
    """Install the hook for the rest of the process; ``own`` is the archive we run from."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "exec":
            path = foreign_file(arguments[0], locked, standard)
            if path is not None and not path.startswith(own):
                on_foreign(path)

    sys.addaudithook(hook)
