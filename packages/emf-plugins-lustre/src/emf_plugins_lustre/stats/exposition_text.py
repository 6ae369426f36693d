"""The Prometheus text format: families, label text, and samples gathered before they are shown.

A family's samples must stand together although its values come from all over a dump, so
samples are gathered in one dictionary for each family and written at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from itertools import chain, islice
from typing import Literal

__all__ = ["CONTENT_TYPE", "END", "Families", "Family", "escaped", "labels_text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
END = "# EOF\n"
PIECE_SAMPLES = 2000
SORTED_AT_ONCE = 4000


def escaped(value: str) -> str:
    """Return a label value with backslash, quote and newline escaped."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def labels_text(labels: Mapping[str, str]) -> str:
    """Return ``name="value",…`` in the order given, without braces."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family; ``origin`` names the parameters it is made from."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    origin: str = ""

    def head(self) -> str:
        """Return the HELP and TYPE lines."""
        return f"# HELP {self.name} {self.help}\n# TYPE {self.name} {self.kind}\n"


@dataclass
class Families:
    """Samples by family; families come out in the order of ``known``."""

    known: tuple[Family, ...]
    samples: dict[str, dict[str, int | float]] = field(default_factory=dict)

    def add(self, name: str, labels: str, value: float) -> None:
        """Add to a sample, as counters that occur twice are added up."""
        family = self.samples.setdefault(name, {})
        family[labels] = family.get(labels, 0) + value

    def put(self, name: str, labels: str, value: float) -> None:
        """Set a sample; the last one wins."""
        self.samples.setdefault(name, {})[labels] = value

    def count(self) -> int:
        """Return how many samples there are."""
        return sum(len(family) for family in self.samples.values())

    def text(self) -> Iterator[str]:
        """Yield the exposition in pieces, without the end mark."""
        for family in self.known:
            found = self.samples.get(family.name)
            if found:
                yield family.head()
                yield from _pieces(family.name, found)


def _pieces(name: str, samples: Mapping[str, int | float]) -> Iterator[str]:
    lines: list[str] = []
    for labels in _in_order(samples):
        lines.append(f"{name}{{{labels}}} {samples[labels]}\n")
        if len(lines) >= PIECE_SAMPLES:
            yield "".join(lines)
            lines = []
    yield "".join(lines)


def _in_order(labels: Iterable[str]) -> Iterable[str]:
    """Sort, in runs: one call on a million texts would keep every other thread waiting."""
    texts = iter(labels)
    runs = []
    while run := list(islice(texts, SORTED_AT_ONCE)):
        run.sort()
        runs.append(run)
    return merge(*runs) if len(runs) > 1 else chain.from_iterable(runs)
