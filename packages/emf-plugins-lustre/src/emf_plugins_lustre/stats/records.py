"""Records: what one parameter of Lustre said, as values that every consumer shares.

Rows are plain tuples because a site has hundreds of thousands of them; records are frozen
dataclasses because there is one for each parameter and target. Numbers are unsigned as in
the kernel; a cell that is ``None`` was absent or negative (a wrapped counter).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

__all__ = [
    "Bucket",
    "Changelog",
    "ChangelogUser",
    "Header",
    "Health",
    "Histogram",
    "Histograms",
    "Job",
    "Kind",
    "Names",
    "QuotaLimits",
    "QuotaUsage",
    "Record",
    "Recovery",
    "Row",
    "Rows",
    "State",
    "Value",
]

_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})")

Kind = Literal["ost", "mdt", "mgt", "host", "client", "lnet", "service", "quota", "nodemap", "osc"]


class Row(NamedTuple):
    """One line of a stats block, or one operation of a job."""

    name: str
    units: str
    samples: int
    min: int | None = None
    max: int | None = None
    sum: int | None = None
    sumsq: int | None = None


class Bucket(NamedTuple):
    """One bucket of a histogram: its size, and how often it was read and written."""

    size: int
    read: int
    write: int


@dataclass(frozen=True, slots=True)
class Header:
    """The times of a block in epoch seconds, as text because nanoseconds overflow a float."""

    snapshot_time: str | None = None
    start_time: str | None = None
    elapsed_time: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a stats block, in the order of the kernel; a name may occur twice."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """One section of ``brw_stats`` and its like; ``unit`` counts what (``ios``, ``rpcs``)."""

    name: str
    unit: str
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class Histograms:
    """All sections of one block, empty ones included; ``gauges`` are its single values."""

    sections: tuple[Histogram, ...]
    gauges: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """A quota index as columns: KiB (``dt``) or inodes (``md``), ``time`` in seconds."""

    ids: list[int]
    hard: list[int | None]
    soft: list[int | None]
    granted: list[int | None]
    time: list[int | None]


@dataclass(frozen=True, slots=True)
class QuotaUsage:
    """What ids use on one target, as columns."""

    ids: list[int]
    inodes: list[int | None]
    kbytes: list[int | None]


@dataclass(frozen=True, slots=True)
class ChangelogUser:
    """A registered reader of a changelog; ``idle_seconds`` is ``None`` on old servers."""

    user: str
    index: int
    idle_seconds: int | None = None
    mask: str | None = None


@dataclass(frozen=True, slots=True)
class Changelog:
    """The newest record of an MDT's changelog, and how far each user has read."""

    current_index: int
    users: tuple[ChangelogUser, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict of ``health_check`` and the devices it blames."""

    healthy: bool
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recovery:
    """``recovery_status``: the state's own word, and every number in the order of the lines."""

    status: str
    fields: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class State:
    """The state of an import, and the changes before it as (epoch second, state)."""

    current: str
    history: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Names:
    """A list of names: the file systems a management server knows."""

    names: tuple[str, ...]


Value = (
    int
    | str
    | bool
    | Names
    | Rows
    | Histograms
    | QuotaLimits
    | QuotaUsage
    | Changelog
    | Health
    | Recovery
    | State
)


@dataclass(frozen=True, slots=True)
class Record:
    """One parameter of one target.

    ``param`` is the last part of the key (``md_stats``, ``exports.stats``,
    ``quota_slave.acct_user``); ``target`` is ``None`` for values of the whole node;
    ``units`` belongs to a single value: bytes, KiB, inodes, seconds, ms, locks, threads,
    count, objects, jiffies, bool or text.
    """

    kind: Kind
    target: str | None
    param: str
    value: Value
    units: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    header: Header | None = None


class Job:
    """The counters of one job on one target; streamed, never all of them in a list.

    ``rows`` lacks rows of zeros where the reader was told to leave them out; ``histograms``
    maps an operation to its buckets, the kernel's text (``4K``) to a count. Text is decoded
    when it is asked for, since most jobs of a dump are only counted or passed over.
    """

    __slots__ = ("histograms", "kind", "raw_id", "rows", "target", "times")

    def __init__(self, kind: Literal["ost", "mdt"], target: str, raw_id: bytes) -> None:
        self.kind = kind
        self.target = target
        self.raw_id = raw_id
        self.rows: list[Row] = []
        self.times: dict[bytes, bytes] = {}
        self.histograms: dict[str, dict[str, int]] | None = None

    @property
    def job_id(self) -> str:
        """The id without its quotes, ``\\xHH`` undone."""
        raw = self.raw_id
        if len(raw) >= 2 and raw[:1] == b'"' and raw[-1:] == b'"':
            raw = raw[1:-1]
            if b"\\x" in raw:
                raw = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), raw)
        return raw.decode("utf-8", "replace")

    @property
    def job_id_raw(self) -> str:
        """The id exactly as printed, quotes and escapes included."""
        return self.raw_id.decode("utf-8", "replace")

    @property
    def snapshot_time(self) -> str | None:
        """Epoch seconds, as text because nanoseconds overflow a float."""
        return self._time(b"snapshot_time:")

    @property
    def start_time(self) -> str | None:
        """Epoch seconds of the first counter; ``None`` before 2.15."""
        return self._time(b"start_time:")

    @property
    def elapsed_time(self) -> str | None:
        """Seconds between the two."""
        return self._time(b"elapsed_time:")

    def _time(self, name: bytes) -> str | None:
        text = self.times.get(name)
        return None if text is None else text.decode("ascii", "replace")
