"""A stretch of one daemon's history: all its series, column by column, small enough to keep. Pure.

Numbers are kept with seven digits. Columns of equal meaning stand together, and the first bytes of
all numbers before the second ones, because that is what compresses. A weight of 0 says that a
series has nothing at that time.
"""

from __future__ import annotations

import json
import math
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Any

from pydantic import JsonValue

from emf_agent.errors import EmfError
from emf_manager.history.downsampling import Bucket, Point
from emf_manager.series import Mark

__all__ = ["Block", "BlockError", "Building", "coarser", "pack", "unpack"]

VERSION = 1
WIDTH = 4
MOST_BYTES = 64 * 1024 * 1024


class BlockError(EmfError):
    """Kept bytes are no block."""


@dataclass(frozen=True)
class Block:
    """Series, the times at which they have values, and five columns of them."""

    series: Mapping[str, Mark]
    times: tuple[float, ...]
    weight: array[float]
    mean: array[float]
    low: array[float]
    high: array[float]
    last: array[float]

    def points(self, name: str) -> Iterator[Point]:
        """Yield a series' points; none where it is not in here."""
        for place, known in enumerate(self.series):
            if known == name:
                base = place * len(self.times)
                for offset, at in enumerate(self.times):
                    where = base + offset
                    if self.weight[where]:
                        yield Point(at, self.at(where))

    def newest(self) -> Iterator[tuple[str, Mark, Point]]:
        """Yield the last point of each series that has one."""
        count = len(self.times)
        for place, (name, mark) in enumerate(self.series.items()):
            for offset in range(count - 1, -1, -1):
                where = place * count + offset
                if self.weight[where]:
                    yield name, mark, Point(self.times[offset], self.at(where))
                    break

    def at(self, where: int) -> Bucket:
        """Return the bucket at a place of the columns."""
        return Bucket(
            self.weight[where],
            self.mean[where],
            self.low[where],
            self.high[where],
            self.last[where],
        )


@dataclass
class Building:
    """A block in the making: a row of buckets for each time."""

    series: dict[str, Mark] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    rows: list[dict[str, Bucket]] = field(default_factory=list)

    def add(self, at: float, row: dict[str, Bucket]) -> None:
        """Add what was at a time; each name of the row is among the series."""
        self.times.append(at)
        self.rows.append(row)

    def block(self) -> Block:
        """Return it as columns; a series without a bucket is left out."""
        used = set().union(*self.rows) if self.rows else set()
        series = {name: mark for name, mark in self.series.items() if name in used}
        nothing = Bucket(0.0, 0.0, 0.0, 0.0, 0.0)
        buckets = [row.get(name, nothing) for name in series for row in self.rows]
        columns = [array("f", column) for column in zip(*buckets, strict=True)]
        weight, mean, low, high, last = columns or [array("f") for _ in nothing]
        return Block(series, tuple(self.times), weight, mean, low, high, last)


def coarser(blocks: Sequence[Block], *, step: float, start: float, end: float) -> Block:
    """Return what blocks say of a span, in buckets of ``step`` seconds that begin at ``start``."""
    building = Building()
    for block in blocks:
        building.series.update(block.series)
    rows: dict[int, dict[str, list[Bucket]]] = {}
    for block in sorted(blocks, key=lambda one: one.times[:1]):
        for slot, first, until in stretches(block.times, step, start, end):
            row = rows.setdefault(slot, {})
            for place, name in enumerate(block.series):
                base = place * len(block.times)
                bucket = summed(block, base + first, base + until)
                if bucket is not None:
                    row.setdefault(name, []).append(bucket)
    for slot in sorted(rows):
        building.add(start + slot * step, {n: joined(b) for n, b in rows[slot].items()})
    return building.block()


def stretches(
    times: Sequence[float], step: float, start: float, end: float
) -> Iterator[tuple[int, int, int]]:
    """Yield each slot with the places of the times in it, from and up to."""
    begun, current = 0, None
    for place, at in enumerate(times):
        slot = math.floor((at - start) / step) if start <= at < end else None
        if slot != current:
            if current is not None:
                yield current, begun, place
            begun, current = place, slot
    if current is not None:
        yield current, begun, len(times)


def summed(block: Block, first: int, until: int) -> Bucket | None:
    """Return the places of a series as one bucket; None where there is nothing at them."""
    weights = block.weight[first:until]
    if 0.0 in weights:
        there = [block.at(where) for where in range(first, until) if block.weight[where]]
        return joined(there) if there else None
    weight = sum(weights)
    low, high = min(block.low[first:until]), max(block.high[first:until])
    mean = sum(map(mul, weights, block.mean[first:until])) / weight
    return Bucket(weight, min(max(mean, low), high), low, high, block.last[until - 1])


def joined(buckets: Sequence[Bucket]) -> Bucket:
    """Return buckets that follow each other as one."""
    if len(buckets) == 1:
        return buckets[0]
    weight = sum(bucket.weight for bucket in buckets)
    low, high = min(b.low for b in buckets), max(b.high for b in buckets)
    mean = sum(bucket.weight * bucket.mean for bucket in buckets) / weight
    return Bucket(weight, min(max(mean, low), high), low, high, buckets[-1].last)


def pack(block: Block) -> bytes:
    """Return a block as bytes; three of the columns are left out where they say the same."""
    flat = block.mean == block.low == block.high == block.last
    columns = [block.weight, block.mean]
    if not flat:
        columns += [block.low, block.high, block.last]
    head: JsonValue = {
        "version": VERSION,
        "flat": flat,
        "times": [round(at, 1) for at in block.times],
        "series": [[name, mark.kind, mark.unit] for name, mark in block.series.items()],
    }
    body = b"".join(shuffled(column.tobytes()) for column in columns)
    return zlib.compress(json.dumps(head, separators=(",", ":")).encode() + b"\n" + body, 6)


def unpack(kept: bytes) -> Block:
    """Return the block that was packed.

    Raises:
        BlockError: the bytes are none.

    """
    try:
        opened = zlib.decompressobj()
        plain = opened.decompress(kept, MOST_BYTES)
        head_bytes, _, body = plain.partition(b"\n")
        head = json.loads(head_bytes)
        return from_head(head, body)
    except (zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise BlockError(f"a block of the history is damaged: {error}") from error


def from_head(head: dict[str, Any], body: bytes) -> Block:
    if head["version"] != VERSION:
        raise ValueError(f"version {head['version']}")
    series = {name: Mark(kind, unit) for name, kind, unit in head["series"]}
    times = tuple(head["times"])
    size = len(series) * len(times) * WIDTH
    if len(body) != size * (2 if head["flat"] else 5):
        raise ValueError("it is too short or too long")
    columns = [column(body[at : at + size]) for at in range(0, len(body), size)] if size else []
    if not columns:
        columns = [array("f") for _ in range(5)]
    if len(columns) == 2:
        columns += [columns[1]] * 3
    weight, mean, low, high, last = columns
    return Block(series, times, weight, mean, low, high, last)


def shuffled(raw: bytes) -> bytes:
    return b"".join(raw[byte::WIDTH] for byte in range(WIDTH))


def column(kept: bytes) -> array[float]:
    plain = bytearray(len(kept))
    quarter = len(kept) // WIDTH
    for byte in range(WIDTH):
        plain[byte::WIDTH] = kept[byte * quarter : (byte + 1) * quarter]
    values = array("f")
    values.frombytes(bytes(plain))
    return values
