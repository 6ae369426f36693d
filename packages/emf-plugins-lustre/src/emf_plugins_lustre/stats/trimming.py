"""What the manager is sent of families that grow with clients and users: the busiest, no more.

Prometheus may have them all; the manager keeps the state of a fleet. What is left out is counted
and sent as a record of its own, so that nobody takes a part for the whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest

from emf_plugins_lustre.stats.records import QuotaLimits, QuotaUsage, Record, Rows

__all__ = ["Limits", "trimmed"]

EXPORTS = "exports.stats"


@dataclass(frozen=True, slots=True)
class Limits:
    """Most exports of a target, and most ids of a quota index."""

    exports: int
    quota_ids: int


def trimmed(records: Sequence[Record], limits: Limits) -> list[Record]:
    """Return the records with large families cut to the busiest exports and heaviest ids.

    Order is kept. For each family that was cut, a record ``left_out`` of the host follows.
    """
    exports: dict[str | None, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        if record.param == EXPORTS:
            exports[record.target].append(index)
    left_out: Counter[str] = Counter()
    dropped: set[int] = set()
    for indexes in exports.values():
        kept = nlargest(limits.exports, indexes, key=lambda at: _samples(records[at]))
        dropped.update(set(indexes).difference(kept))
    left_out[EXPORTS] = len(dropped)
    result = [
        _fewer_ids(record, limits.quota_ids, left_out)
        for index, record in enumerate(records)
        if index not in dropped
    ]
    return [*result, *_confessions(left_out)]


def _confessions(left_out: Counter[str]) -> Iterable[Record]:
    for param, number in left_out.items():
        if number:
            yield Record("host", None, "left_out", number, "count", {"of": param})


def _samples(record: Record) -> int:
    assert isinstance(record.value, Rows)
    return sum([row.samples for row in record.value.rows])


def _fewer_ids(record: Record, most: int, left_out: Counter[str]) -> Record:
    value = record.value
    if not isinstance(value, (QuotaLimits, QuotaUsage)) or len(value.ids) <= most:
        return record
    left_out[record.param] += len(value.ids) - most
    weights = value.granted if isinstance(value, QuotaLimits) else value.kbytes
    chosen = sorted(nlargest(most, range(len(value.ids)), key=lambda at: weights[at] or 0))

    def cut(column: list[int | None]) -> list[int | None]:
        return [column[at] for at in chosen]

    ids = [value.ids[at] for at in chosen]
    if isinstance(value, QuotaUsage):
        return replace(record, value=QuotaUsage(ids, cut(value.inodes), cut(value.kbytes)))
    limits = QuotaLimits(ids, cut(value.hard), cut(value.soft), cut(value.granted), cut(value.time))
    return replace(record, value=limits)
