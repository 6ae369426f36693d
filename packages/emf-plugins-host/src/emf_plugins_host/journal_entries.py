"""Entries of the systemd journal, out of ``journalctl --output=export``. Sans-IO.

The export format (systemd.io, Journal Export Formats) carries every byte as it is, with lengths: a
message that is binary or a mebibyte long is read like any other, in bounded memory. In JSON the
first would be a list of numbers, and the second ``null``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from typing_extensions import TypedDict

__all__ = [
    "DAEMON_FACILITY",
    "FIELDS",
    "MESSAGE_BYTES",
    "Entry",
    "ExportError",
    "ExportParser",
    "JournalLine",
    "Moment",
    "Severity",
    "entries",
    "entry",
    "journal_line",
]

Severity = Literal["Emerg", "Alert", "Crit", "Err", "Warning", "Notice", "Info", "Debug"]
SEVERITIES: Sequence[Severity] = (
    "Emerg",
    "Alert",
    "Crit",
    "Err",
    "Warning",
    "Notice",
    "Info",
    "Debug",
)
FIELDS = ("MESSAGE", "PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "_COMM")
"""What is asked for; cursor and time come anyway."""
MESSAGE_BYTES = 16 * 1024
FIELD_NAME_BYTES = 4096
MOST_FIELDS = 1024
DAEMON_FACILITY = 3
INFO: Severity = "Info"
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class ExportError(ValueError):
    """What was read is not the export format."""


@dataclass
class Value:
    """A field's value: its head, and how long it was."""

    head: bytes = b""
    size: int = 0


class ExportParser:
    """Takes the bytes as they come and gives whole entries; keeps the head of each value only."""

    def __init__(self, keep_bytes: int = MESSAGE_BYTES) -> None:
        self._keep = keep_bytes
        self._buffer = bytearray()
        self._entry: dict[str, Value] = {}
        self._line: Value | None = None
        """The value of a long line whose end has not come."""
        self._sized: Value | None = None
        """The value with a length whose end has not come."""
        self._left = 0

    def feed(self, data: bytes) -> list[dict[str, Value]]:
        """Return the entries that these bytes complete.

        Raises:
            ExportError: a field has no name or an endless one; nothing can be read after that.

        """
        self._buffer += data
        done: list[dict[str, Value]] = []
        while self._step(done):
            pass
        return done

    def _step(self, done: list[dict[str, Value]]) -> bool:
        """Take one piece from the buffer; False where more bytes are needed first."""
        if self._sized is not None:
            return self._rest_of_sized(self._sized)
        end = self._buffer.find(b"\n")
        if self._line is not None:
            return self._rest_of_line(self._line, end)
        if end < 0:
            return self._begin_long_line()
        line = bytes(self._buffer[:end])
        if not line:
            del self._buffer[:1]
            if self._entry:
                done.append(self._entry)
                self._entry = {}
            return True
        name, separator, value = line.partition(b"=")
        if separator:
            del self._buffer[: end + 1]
            self._take(name, Value(value[: self._keep], len(value)))
            return True
        if len(self._buffer) < end + 9:
            return False
        self._left = int.from_bytes(self._buffer[end + 1 : end + 9], "little") + 1
        del self._buffer[: end + 9]
        self._sized = self._take(name, Value())
        return True

    def _begin_long_line(self) -> bool:
        """Wait for the rest of a line, or begin to throw away what is beyond the bound."""
        if len(self._buffer) <= FIELD_NAME_BYTES + self._keep:
            return False
        name, separator, value = bytes(self._buffer).partition(b"=")
        if not separator:
            raise ExportError("a line of the journal has no end")
        self._buffer.clear()
        self._line = self._take(name, Value(value[: self._keep], len(value)))
        return False

    def _rest_of_line(self, value: Value, end: int) -> bool:
        """Throw away what is beyond the bound, up to the line's end."""
        if end < 0:
            value.size += len(self._buffer)
            self._buffer.clear()
            return False
        value.size += end
        del self._buffer[: end + 1]
        self._line = None
        return True

    def _rest_of_sized(self, value: Value) -> bool:
        """Take a part of a value with a length; the last of its bytes is a line's end."""
        if not self._buffer:
            return False
        part = bytes(self._buffer[: self._left])
        del self._buffer[: len(part)]
        self._left -= len(part)
        if self._left == 0:
            part = part[:-1]
            self._sized = None
        value.size += len(part)
        value.head += part[: max(0, self._keep - len(value.head))]
        return True

    def _take(self, name: bytes, value: Value) -> Value:
        """Take a field into the entry; of two of a name (which may be) the first counts."""
        if not name or len(name) > FIELD_NAME_BYTES or len(self._entry) >= MOST_FIELDS:
            raise ExportError(f"a journal entry has a field that cannot be: {name[:64]!r}")
        self._entry.setdefault(name.decode("ascii", "replace"), value)
        return value


@dataclass(frozen=True)
class Entry:
    """One entry, as the manager wants it."""

    cursor: str
    seconds: int
    nanoseconds: int
    severity: Severity
    facility: int
    source: str
    message: str = field(repr=False)


class Moment(TypedDict):
    """A time on the wire, since 1970."""

    secs: int
    nanos: int


class JournalLine(TypedDict):
    """An entry on the wire."""

    datetime: Moment
    severity: Severity
    facility: int
    source: str
    message: str


def entry(fields: dict[str, Value]) -> Entry | None:
    """Return an entry; None where it has no cursor or no time, and so no place in the order.

    An entry without a message (there are some) has an empty one; odd numbers have their default.
    """
    cursor, stamp = text(fields, "__CURSOR"), text(fields, "__REALTIME_TIMESTAMP")
    if not cursor or not plain_number(stamp):
        return None
    microseconds = int(stamp)
    priority, facility = text(fields, "PRIORITY"), text(fields, "SYSLOG_FACILITY")
    return Entry(
        cursor=cursor,
        seconds=microseconds // 1_000_000,
        nanoseconds=microseconds % 1_000_000 * 1000,
        severity=SEVERITIES[int(priority)] if re.fullmatch("[0-7]", priority) else INFO,
        facility=int(facility)
        if plain_number(facility) and int(facility) < 2**15
        else DAEMON_FACILITY,
        source=text(fields, "SYSLOG_IDENTIFIER") or text(fields, "_COMM") or "unknown",
        message=message(fields.get("MESSAGE", Value())),
    )


def journal_line(one: Entry) -> JournalLine:
    """Return an entry as it goes on the wire."""
    return {
        "datetime": {"secs": one.seconds, "nanos": one.nanoseconds},
        "severity": one.severity,
        "facility": one.facility,
        "source": one.source,
        "message": one.message,
    }


def message(value: Value) -> str:
    """Return a message: what is no UTF-8 replaced, control characters shown, its end cut off."""
    shown = visible(value.head)
    left_out = value.size - len(value.head)
    return f"{shown} [... {left_out} bytes left out]" if left_out > 0 else shown


def visible(raw: bytes) -> str:
    """Return text that no terminal obeys."""
    decoded = raw.decode("utf-8", "replace")
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", decoded)


def text(fields: dict[str, Value], name: str) -> str:
    """Return a field as text; empty where the entry has none."""
    value = fields.get(name)
    return "" if value is None else visible(value.head)


def plain_number(digits: str) -> bool:
    """Tell whether it is a number that an ``int`` of ours takes, of a sane length."""
    return digits.isascii() and digits.isdecimal() and len(digits) <= 20


def entries(found: Iterable[dict[str, Value]]) -> list[Entry]:
    """Return those that have a place in the order."""
    return [one for one in map(entry, found) if one is not None]
