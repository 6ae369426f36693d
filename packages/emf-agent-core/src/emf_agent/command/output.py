"""What a program said: bounded while it is read, made harmless when it is shown.

Output is foreign: it may be endless, binary, or hold escape sequences for a terminal (R27).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from emf_agent.command.failures import OutputTruncatedError
from emf_agent.plugin.secret import HIDDEN

__all__ = ["Completed", "Keeper", "Line", "Output", "Redaction", "visible"]

EXCERPT_CHARS = 8192

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(data: bytes) -> str:
    r"""Decode as UTF-8 and show what a terminal would obey: NUL becomes ``\x00``.

    Tab, newline and carriage return stay; bytes that are no UTF-8 become U+FFFD.
    """
    return CONTROL.sub(escaped, data.decode("utf-8", "replace"))


def visible_text(text: str) -> str:
    """Return text as it would be shown after a program had written it."""
    return visible(text.encode("utf-8", "surrogateescape"))


def escaped(match: re.Match[str]) -> str:
    """Return a control character as Python would write it."""
    return match[0].encode("unicode_escape").decode("ascii")


class Redaction:
    """Replaces secrets by ``***`` wherever text leaves for an error or a log."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # A secret of many lines, a key, is also met line by line; a short line is in any text.
        parts = {
            part
            for secret in secrets
            for part in (secret, *filter(lambda line: len(line) >= 8, secret.splitlines()))
            if part
        }
        # Longest first: a secret may contain another one.
        self._secrets = sorted(map(visible_text, parts), key=len, reverse=True)

    @property
    def longest(self) -> int:
        """Return the characters of the longest secret; 0 where there is none."""
        return len(self._secrets[0]) if self._secrets else 0

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


NOTHING_HIDDEN = Redaction()


@dataclass(frozen=True)
class Line:
    """One line as it came, without its end, redacted and made visible."""

    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True)
class Output:
    """One stream of a finished program: its first and last bytes, and how many lay between."""

    head: bytes = b""
    tail: bytes = b""
    omitted: int = 0
    redaction: Redaction = field(default=NOTHING_HIDDEN, repr=False, compare=False)

    @property
    def size_bytes(self) -> int:
        """Return how much the program wrote."""
        return len(self.head) + self.omitted + len(self.tail)

    @property
    def raw(self) -> bytes:
        """Return every byte; raises OutputTruncatedError where some were not kept."""
        if self.omitted:
            raise OutputTruncatedError(self.omitted)
        return self.head + self.tail

    @property
    def text(self) -> str:
        """Return the whole as text, control characters escaped, for a parser.

        Raises OutputTruncatedError where some was not kept: half an output is never parsed.
        """
        return visible(self.raw)

    def lines(self) -> list[str]:
        """Return the lines of ``text``, without their ends."""
        if not self.size_bytes:
            return []
        return [line.removesuffix("\r") for line in self.text.removesuffix("\n").split("\n")]

    @property
    def shown(self) -> str:
        """Return it for people: secrets hidden, a gap said aloud."""
        if not self.omitted:
            return self.redaction(visible(self.raw))
        head, tail = visible(self.head), visible(self.tail)
        if cut := self.redaction.longest:
            # Half a secret at the edge of the gap would not be recognised.
            head, tail = head[:-cut], tail[cut:]
        gap = f"\n[... {self.omitted} bytes left out ...]\n"
        return self.redaction(head) + gap + self.redaction(tail)

    def excerpt(self, limit_chars: int = EXCERPT_CHARS) -> str:
        """Return what is shown, cut in the middle to a length that fits an error."""
        text = self.shown
        if len(text) <= limit_chars:
            return text
        half = limit_chars // 2
        return f"{text[:half]}\n[... {len(text) - 2 * half} characters ...]\n{text[-half:]}"


@dataclass(frozen=True)
class Completed:
    """A program that has ended."""

    argv: tuple[str, ...]
    """As it was started, secrets hidden."""
    returncode: int
    """The exit code; ``-9`` where signal 9 ended it."""
    stdout: Output
    stderr: Output
    seconds: float

    @property
    def status(self) -> str:
        """Return ``exit code: 2`` or ``signal: 9``."""
        if self.returncode < 0:
            return f"signal: {-self.returncode}"
        return f"exit code: {self.returncode}"


class Keeper:
    """Keeps the first and the last bytes of a stream, and counts the rest."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._head = bytearray()
        self._tail = bytearray()
        self._omitted = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        room = self._limit - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        # Cut rarely: each cut moves what stays.
        if len(self._tail) > 2 * self._limit + 4096:
            self._cut()

    def _cut(self) -> None:
        excess = max(0, len(self._tail) - self._limit)
        del self._tail[:excess]
        self._omitted += excess

    def output(self, redaction: Redaction) -> Output:
        """Return what was kept so far."""
        self._cut()
        return Output(bytes(self._head), bytes(self._tail), self._omitted, redaction)


class LineSplitter:
    """Cuts a stream into lines of bounded length, as they become whole."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._part = bytearray()
        self._cut = False
        self.cut_lines = 0
        """How many lines were longer than the limit, and lost their end."""

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Return the lines that these bytes complete."""
        *whole, rest = data.split(b"\n")
        done = [self._end(piece) for piece in whole]
        self._extend(rest)
        return done

    def finish(self) -> Sequence[bytes]:
        """Return the last line, if it had no end."""
        return [self._end(b"")] if self._part else []

    def _extend(self, piece: bytes) -> None:
        room = self._limit - len(self._part)
        self._part += piece[:room]
        if len(piece) > room and not self._cut:
            self._cut = True
            self.cut_lines += 1

    def _end(self, piece: bytes) -> bytes:
        self._extend(piece)
        line = bytes(self._part).removesuffix(b"\r")
        self._part.clear()
        self._cut = False
        return line
