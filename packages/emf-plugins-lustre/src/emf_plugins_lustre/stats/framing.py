"""Framing: cuts the output of ``lctl get_param`` into entries, one for each key.

Grammar: "lustre statistics, framing": ``key=value``, or ``key=`` and a block up to the next
key; a block may also begin on the key's own line. Blocks are handed out lazily, so that an
index of a million quota ids is never held as lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from emf_plugins_lustre.stats.losses import Losses

__all__ = ["Entry", "entries"]

# A dotted word before "=" is a key; operation names and changelog masks never look like one.
_KEY = re.compile(
    rb"(memused|memused_max|lnet_memused|health_check|version|jobid_var|jobid_name"
    rb"|[A-Za-z0-9_\-]+\.[^\s=]+)="
)
_NAME_ONLY = re.compile(rb"[A-Za-z0-9_\-]+(?:\.[^\s=:.]+){2,}\Z")
_MESSAGE = re.compile(rb"(?:error|warning): ")


class Entry:
    """One key and the lines of its value; iterating consumes them, numbered.

    ``key`` is text (bytes that are not UTF-8 are replaced), ``line`` the number of the key's
    line. The first line of a value may stand on the key's line; an empty one is left out.
    """

    def __init__(self, key: str, line: int, first: bytes, feed: _Feed) -> None:
        self.key = key
        self.line = line
        self._first: bytes | None = first
        self._feed = feed

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        if self._first is not None:
            first, self._first = self._first, None
            if first.strip():
                yield self.line, first
        yield from self._feed.block()

    def value(self) -> bytes:
        """Return a value of one line; the rest of the block, if any, is left to be skipped."""
        for _, text in self:
            stripped = text.strip()
            if stripped:
                return stripped
        return b""


class _Feed:
    """The lines of the output with one line of look-ahead, shared by all entries."""

    def __init__(self, lines: Iterator[tuple[int, bytes]], losses: Losses) -> None:
        self._lines = lines
        self._losses = losses
        self.key: re.Match[bytes] | None = None
        self.key_line = 0

    def block(self) -> Iterator[tuple[int, bytes]]:
        """Yield lines up to the next key, which is kept in ``key``."""
        if self.key is not None:
            return
        for number, line in self._lines:
            if b"=" in line:
                match = _KEY.match(line)
                if match is not None:
                    self.key, self.key_line = match, number
                    return
            if line[:1] in b"ew" and _MESSAGE.match(line):
                self._losses.note("lctl", number, "message", line)
                continue
            yield number, line


def entries(lines: Iterable[tuple[int, bytes]], losses: Losses) -> Iterator[Entry]:
    """Yield the entries in order; what an entry's reader leaves unread is skipped."""
    feed = _Feed(iter(lines), losses)
    for number, line in feed.block():
        if _NAME_ONLY.match(line.strip()):
            yield Entry(line.strip().decode("utf-8", "replace"), number, b"", _NO_LINES)
        elif line.strip():
            losses.note("lctl", number, "stray line", line)
    while feed.key is not None:
        match, feed.key = feed.key, None
        entry = Entry(
            match[1].decode("utf-8", "replace"), feed.key_line, match.string[match.end() :], feed
        )
        yield entry
        for _ in entry:
            pass


_NO_LINES = _Feed(iter(()), Losses())
