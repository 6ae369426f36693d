"""Spools: the text of families that fill up at the same time but must come out one by one.

Each family has a temporary file that stays in memory while it is small.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import IO

from emf_plugins_lustre.stats.exposition_text import Family

__all__ = ["Spools"]

KEPT_IN_MEMORY = 256 * 1024
PIECE = 64 * 1024


class Spools:
    """A spool for each family; use it as a context manager, or files stay open."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families
        self._files: list[IO[bytes] | None] = [None] * len(families)
        self._stack = ExitStack()

    def write(self, index: int, lines: Iterable[str]) -> None:
        """Append lines to the spool of the family at ``index``."""
        text = "".join(lines)
        if not text:
            return
        spool = self._files[index]
        if spool is None:
            spool = self._files[index] = self._stack.enter_context(
                tempfile.SpooledTemporaryFile(max_size=KEPT_IN_MEMORY)  # noqa: SIM115 - the stack closes it
            )
        spool.write(text.encode("utf-8", "replace"))

    def text(self) -> Iterator[bytes]:
        """Yield all families that have samples, each under its head."""
        for family, spool in zip(self._families, self._files, strict=True):
            if spool is None:
                continue
            yield family.head().encode()
            spool.seek(0)
            while piece := spool.read(PIECE):
                yield piece

    def close(self) -> None:
        """Give the files back."""
        self._stack.close()

    def __enter__(self) -> Spools:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
