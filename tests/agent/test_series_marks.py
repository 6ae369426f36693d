"""Marks: what is worth a chart is written into the payload's schema, and nowhere else."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from typing_extensions import NotRequired, TypedDict

from emf_agent.plugin import Counter, Daemon, Gauge, SeriesKey, SeriesName
from emf_agent.plugin.daemon import payload_adapter


class Disk(TypedDict):
    name: Annotated[str, SeriesKey()]
    used: Annotated[int, Gauge("bytes")]
    spare: NotRequired[Annotated[float | None, Gauge("ratio")]]


class DiskPayload(TypedDict):
    written: dict[str, Annotated[int, Counter("bytes")]]
    disks: Annotated[list[Disk], SeriesName("disk")]


class Disks(Daemon):
    """Disks."""

    name = "disks"

    async def update_session(self) -> DiskPayload:
        return {"written": {"sda": 7}, "disks": [{"name": "sda", "used": 5}]}


def schema() -> dict[str, Any]:
    return payload_adapter(Disks).json_schema(mode="serialization")


def test_marks_are_keywords_of_the_schema() -> None:
    told = schema()
    disk = told["$defs"]["Disk"]["properties"]

    assert told["properties"]["disks"]["x-emf-name"] == "disk"
    assert disk["name"]["x-emf-key"] is True
    assert disk["used"]["x-emf-series"] == {"kind": "gauge", "unit": "bytes"}
    assert disk["spare"]["x-emf-series"] == {"kind": "gauge", "unit": "ratio"}
    written = told["properties"]["written"]["additionalProperties"]
    assert written == {"type": "integer", "x-emf-series": {"kind": "counter", "unit": "bytes"}}


def test_a_marked_payload_is_written_as_an_unmarked_one() -> None:
    value: DiskPayload = {"written": {"sda": 7}, "disks": [{"name": "sda", "used": 5}]}

    assert payload_adapter(Disks).dump_python(value, mode="json") == value


@pytest.mark.parametrize("unit", ["", " \n", "x" * 33, "a\x00"])
def test_a_unit_that_none_could_read_is_refused(unit: str) -> None:
    with pytest.raises(ValueError, match="is not a unit"):
        Gauge(unit)


@pytest.mark.parametrize("name", ["", "a.b", "a[b]", "\n"])
def test_a_name_that_would_blur_the_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        SeriesName(name)
