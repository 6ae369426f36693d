"""Lines from chunks of bytes: bounded, tolerant of CRLF, of cuts and of lines without end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

__all__ = ["LONGEST_LINE", "LineSplitter", "numbered_lines"]

LONGEST_LINE = 256 * 1024


class LineSplitter:
    """Cuts chunks into lines; holds at most one unfinished line, and that one bounded.

    A line longer than ``LONGEST_LINE`` is dropped whole; ``too_long`` hears of it. Dropped
    lines still count as one line each, so that line numbers stay true.
    """

    def __init__(self, too_long: Callable[[int, bytes], None]) -> None:
        self.done = 0
        self._carry = b""
        self._overlong = False
        self._too_long = too_long

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that this chunk completes; ``done`` counts those returned before."""
        data = self._carry + chunk if self._carry else chunk
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        lines = data.split(b"\n")
        self._carry = lines.pop()
        if self._overlong and lines:
            lines[0] = b""
            self._overlong = False
        if len(self._carry) > LONGEST_LINE:
            if not self._overlong:
                self._too_long(self.done + len(lines) + 1, self._carry)
            self._overlong = True
            self._carry = b""
        if len(data) > LONGEST_LINE and max(map(len, lines), default=0) > LONGEST_LINE:
            self._blank_overlong(lines)
        return lines

    def close(self) -> list[bytes]:
        """Return the last line, if the output did not end with a newline."""
        rest, self._carry = self._carry, b""
        if self._overlong or not rest:
            return []
        return [rest[:-1] if rest.endswith(b"\r") else rest]

    def _blank_overlong(self, lines: list[bytes]) -> None:
        for index, line in enumerate(lines):
            if len(line) > LONGEST_LINE:
                self._too_long(self.done + index + 1, line)
                lines[index] = b""


def numbered_lines(
    chunks: Iterable[bytes], too_long: Callable[[int, bytes], None]
) -> Iterator[tuple[int, bytes]]:
    """Yield each line with its number, the first being 1."""
    splitter = LineSplitter(too_long)
    for chunk in chunks:
        lines = splitter.feed(chunk)
        yield from enumerate(lines, splitter.done + 1)
        splitter.done += len(lines)
    yield from enumerate(splitter.close(), splitter.done + 1)
