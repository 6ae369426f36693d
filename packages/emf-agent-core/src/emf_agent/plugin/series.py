"""Marks for what is worth a chart: numbers of a payload that are kept over time.

A mark is written into the JSON Schema of the daemon's payload and changes nothing on the wire::

    class Disk(TypedDict):
        name: Annotated[str, SeriesKey()]
        used: Annotated[int, Gauge("bytes")]
        written: Annotated[int, Counter("bytes")]

    class Disks(TypedDict):
        disks: list[Disk]                # disks[sda].used, disks[sda].written

A series is called by the path to its number. The value of a mapping is named by its key; an item
of a list by its members marked :class:`SeriesKey`, since a position is no name: an item without
one is passed over. :class:`SeriesName` shortens the path since the innermost such name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = ["Counter", "Gauge", "SeriesKey", "SeriesName"]

LONGEST_UNIT = 32


class Mark:
    """Metadata of ``Annotated`` that adds one keyword to the JSON Schema."""

    def keyword(self) -> tuple[str, object]:
        """Return the keyword and its value."""
        raise NotImplementedError

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the annotated type as before, with the keyword beside it."""
        keyword, value = self.keyword()
        return {**handler(schema), keyword: value}


@dataclass(frozen=True)
class Series(Mark):
    """A number that is kept over time; ``unit`` is in base units (``seconds``, ``bytes``)."""

    unit: str
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        if not (0 < len(self.unit) <= LONGEST_UNIT and self.unit.isprintable()):
            raise ValueError(
                f"{self.unit!r} is not a unit; write 1 to {LONGEST_UNIT} printable characters, "
                "such as seconds, bytes or ratio"
            )

    def keyword(self) -> tuple[str, object]:
        """Return ``x-emf-series`` with the kind and the unit."""
        return "x-emf-series", {"kind": self.kind, "unit": self.unit}


class Gauge(Series):
    """A number that goes up and down: a load, a temperature, free bytes."""

    kind: ClassVar[str] = "gauge"


class Counter(Series):
    """A number that only grows until it begins anew at a restart; it is shown as a rate."""

    kind: ClassVar[str] = "counter"


@dataclass(frozen=True)
class SeriesKey(Mark):
    """The member that names an item of a list; several are joined with ``/``."""

    def keyword(self) -> tuple[str, object]:
        """Return ``x-emf-key``."""
        return "x-emf-key", True


@dataclass(frozen=True)
class SeriesName(Mark):
    """What the path from the innermost named item, or from the top, to here is called."""

    name: str

    def __post_init__(self) -> None:
        if not (self.name and self.name.isprintable()) or set(self.name) & set("[]."):
            raise ValueError(
                f"{self.name!r} is not a name for a series; write a word without . [ or ]"
            )

    def keyword(self) -> tuple[str, object]:
        """Return ``x-emf-name``."""
        return "x-emf-name", self.name
