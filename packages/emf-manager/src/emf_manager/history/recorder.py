"""What one daemon on one node has said since its history was last written down. Pure.

Values go in as they come; rows come out when there are enough. Counters become rates here, where
the value before is known, so that what is kept needs nothing from before it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from emf_manager.history.blocks import Block
from emf_manager.history.downsampling import Bucket, gauge, rate
from emf_manager.series import Mark, Sample

__all__ = ["Newest", "Recorder", "Rows"]

APART_S = 1.0
"""Values that follow each other faster are passed over; the next one tells of a counter's steps."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The last number of a series."""

    mark: Mark
    at: float
    value: float
    """As the daemon said it."""
    shown: float | None
    """A gauge's value, a counter's rate; None where there is no rate yet."""


@dataclass
class Rows:
    """One row for each value: for each series a weight and a number. A weight of 0 is none."""

    series: dict[str, Mark] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    rows: list[tuple[array[float], array[float]]] = field(default_factory=list)

    def block(self) -> Block:
        """Return them as columns; a series without a number is left out."""
        names = list(self.series)
        weight, mean = array("f"), array("f")
        used: list[int] = []
        for place in range(len(names)):
            weights = [w[place] if place < len(w) else 0.0 for w, _ in self.rows]
            if any(weights):
                used.append(place)
                weight.extend(weights)
                mean.extend(n[place] if place < len(n) else 0.0 for _, n in self.rows)
        series = {names[place]: self.series[names[place]] for place in used}
        return Block(series, tuple(self.times), weight, mean, mean, mean, mean)


class Recorder:
    """One daemon on one node."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._places: dict[str, int] = {}
        self.rows = Rows()
        """What is not written down yet."""
        self.newest: dict[str, Newest] = {}
        """By series, of the last value."""
        self.heard = 0.0
        """When the last value came."""

    def take(self, at: float, samples: Iterable[Sample]) -> int:
        """Take what a value said, and tell how many numbers were kept."""
        times = self.rows.times
        if times and 0 <= at - times[-1] < APART_S:
            return 0
        if times and at < times[-1]:
            at = times[-1]  # the clock was set back: order is kept, the moment is not
        newest: dict[str, Newest] = {}
        known = len(self.rows.series)
        weights, numbers = array("f", bytes(4 * known)), array("f", bytes(4 * known))
        kept = 0
        for sample in samples:
            bucket = bucket_of(sample, self.newest.get(sample.name), at)
            shown = None if bucket is None else bucket.last
            newest[sample.name] = Newest(sample.mark, at, sample.value, shown)
            place = None if bucket is None else self._place(sample)
            if place is None or bucket is None:
                continue
            if place == len(weights):
                weights.append(0.0)
                numbers.append(0.0)
            weights[place], numbers[place] = bucket.weight, bucket.mean
            kept += 1
        self.newest, self.heard = newest, at
        times.append(at)
        self.rows.rows.append((weights, numbers))
        return kept

    def hand_over(self) -> Rows:
        """Return what is not written down yet, to be written by the caller."""
        rows, self.rows = self.rows, Rows()
        self._places = {}
        return rows

    def _place(self, sample: Sample) -> int | None:
        place = self._places.get(sample.name)
        if place is None and len(self._places) < self._most:
            place = self._places[sample.name] = len(self._places)
            self.rows.series[sample.name] = sample.mark
        return place


def bucket_of(sample: Sample, before: Newest | None, at: float) -> Bucket | None:
    """Return what a number adds; None for a counter's first one, and its first after a reset."""
    if sample.mark.kind == "gauge":
        return gauge(sample.value)
    if before is None or before.mark.kind != "counter":
        return None
    return rate(before.value, sample.value, at - before.at)
