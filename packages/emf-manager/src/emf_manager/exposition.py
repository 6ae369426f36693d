"""Prometheus' text format, as far as this manager needs it. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["CONTENT_TYPE", "Family", "Sample", "at_most", "exposed"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"

Labels = tuple[str, ...]
Sample = tuple[Labels, float]


@dataclass(frozen=True)
class Family:
    """One metric: its samples carry one value for each label."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: Labels = ()
    samples: Sequence[Sample] = ()

    @classmethod
    def one(cls, name: str, kind: Literal["counter", "gauge"], text: str, value: float) -> Family:
        """Return a metric without labels."""
        return cls(name, kind, text, (), (((), value),))


def exposed(families: Iterable[Family]) -> str:
    """Return the text that Prometheus scrapes."""
    return "".join(line for family in families for line in lines(family))


def lines(family: Family) -> Iterable[str]:
    yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"
    for values, value in sorted(family.samples):
        pairs = (
            f'{label}="{escaped(text)}"' for label, text in zip(family.labels, values, strict=True)
        )
        braces = f"{{{','.join(pairs)}}}" if values else ""
        yield f"{family.name}{braces} {number(value)}\n"


def number(value: float) -> str:
    if math.isfinite(value):
        return repr(int(value)) if value == int(value) else repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def escaped(text: str) -> str:
    """Return a label's value; what a node said cannot end a line or a label."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return plain.encode("utf-8", "replace").decode()


def at_most(counted: Mapping[Labels, float], most: int) -> tuple[Sample, ...]:
    """Return the largest samples; what is beyond them is one more, whose first label is other.

    Names of daemons come from nodes, so there may be any number of them.
    """
    ranked = Counter(counted).most_common()
    kept: Counter[Labels] = Counter(dict(ranked[:most]))
    for labels, value in ranked[most:]:
        rest = (OTHER, *labels[1:])
        kept[rest] += value
    return tuple(kept.items())
