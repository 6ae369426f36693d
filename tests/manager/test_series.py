"""Series out of a value by its schema: named by path and key, bounded, and never by surprise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.series import LONGEST_NAME, Mark, read_samples, read_shapes
from tests.manager.unhurried import unhurried

BYTES: dict[str, Any] = {"type": "integer", "x-emf-series": {"kind": "gauge", "unit": "bytes"}}
SENT: dict[str, Any] = {"type": "integer", "x-emf-series": {"kind": "counter", "unit": "bytes"}}
KEY: dict[str, Any] = {"type": "string", "x-emf-key": True}


def members(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def listed(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def found(schema: Any, value: Any, most: int = 100) -> dict[str, float]:
    samples, _ = read_samples(value, read_shapes(schema), most=most)
    return {sample.name: sample.value for sample in samples}


DISK = members(name=KEY, used=BYTES, io=members(sent=SENT))
RECORD = members(
    Target=members(
        Free=members(target=KEY, value={**BYTES, "x-emf-name": "free"}),
        Stats=members(
            target=KEY,
            value=listed(
                {
                    "anyOf": [
                        members(name={"enum": ["read", "write"], **KEY}, sum=SENT),
                        members(name=KEY, samples=SENT),
                    ]
                },
                **{"x-emf-name": "stats"},
            ),
        ),
    )
)


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        pytest.param(BYTES, 5, {}, id="a bare number has no name"),
        pytest.param({**BYTES, "x-emf-name": "free"}, 5, {"free": 5}, id="unless it is given one"),
        pytest.param(
            members(load=members(one=BYTES, five={"type": "number"})),
            {"load": {"one": 1, "five": 2}},
            {"load.one": 1},
            id="by path, marked ones only",
        ),
        pytest.param(
            members(rx={"type": "object", "additionalProperties": SENT}),
            {"rx": {"eth0": 1, "eth1": 2}},
            {"rx[eth0]": 1, "rx[eth1]": 2},
            id="a mapping's value by its key",
        ),
        pytest.param(
            members(disks=listed(DISK)),
            {"disks": [{"name": "sda", "used": 1, "io": {"sent": 9}}, {"used": 2}]},
            {"disks[sda].used": 1, "disks[sda].io.sent": 9},
            id="a list's item by its key, none without",
        ),
        pytest.param(
            members(pairs=listed(members(a=KEY, b=KEY, used=BYTES))),
            {"pairs": [{"a": "x", "b": "y", "used": 3}]},
            {"pairs[x/y].used": 3},
            id="by several keys",
        ),
        pytest.param(
            listed(RECORD),
            [
                {"Target": {"Free": {"target": "OST0", "value": 4}}},
                {"Host": {"Free": {"target": "OST9", "value": 4}}},
                {
                    "Target": {
                        "Stats": {
                            "target": "OST0",
                            "value": [
                                {"name": "read", "sum": 7, "samples": 2},
                                {"name": "ping", "sum": 8, "samples": 3},
                            ],
                        }
                    }
                },
            ],
            {
                "[OST0].free": 4,
                "[OST0].stats[read].sum": 7,
                "[OST0].stats[read].samples": 2,
                "[OST0].stats[ping].samples": 3,
            },
            id="tagged records, rows by kind",
        ),
        pytest.param(
            {
                "$ref": "#/$defs/Node",
                "$defs": {
                    "Node": members(used=BYTES, below={"$ref": "#/$defs/Node"}),
                },
            },
            {"used": 1, "below": {"used": 2}},
            {"used": 1},
            id="a schema that holds itself is followed once",
        ),
        pytest.param(
            members(used={"anyOf": [{"type": "integer"}, {"type": "null"}], **BYTES}),
            {"used": 6},
            {"used": 6},
            id="a mark on a choice",
        ),
        pytest.param(
            members(a=BYTES, b=BYTES, c=BYTES, d=BYTES, e=BYTES, f=BYTES, g=BYTES),
            {
                "a": True,
                "b": float("nan"),
                "c": float("inf"),
                "d": 10**400,
                "e": "5",
                "f": None,
                "g": -(2**62),
            },
            {"g": float(-(2**62))},
            id="what is no number is passed over",
        ),
        pytest.param(
            members(disks=listed(DISK)),
            {"disks": [{"name": "sda", "used": 1}, {"name": "sda", "used": 2}]},
            {"disks[sda].used": 1},
            id="of a name twice the first counts",
        ),
        pytest.param(
            members(disks=listed(DISK)),
            {"disks": [{"name": "a\nb", "used": 1}, {"name": "x" * LONGEST_NAME, "used": 2}]},
            {},
            id="no name that hurts",
        ),
    ],
)
def test_series_are_named_by_path_and_key(
    schema: Any, value: Any, expected: dict[str, float]
) -> None:
    assert found(schema, value) == expected


def test_a_sample_carries_its_kind_and_unit() -> None:
    (sample,), complete = read_samples({"sent": 3}, read_shapes(members(sent=SENT)), most=9)

    assert sample.mark == Mark("counter", "bytes")
    assert complete


def test_more_series_than_there_may_be_are_cut_and_owned_up_to() -> None:
    shapes = read_shapes({"type": "object", "additionalProperties": BYTES})

    samples, complete = read_samples({str(n): n for n in range(1000)}, shapes, most=10)

    assert [sample.name for sample in samples] == [f"[{n}]" for n in range(10)]
    assert not complete


def test_a_value_that_is_too_much_to_look_through_is_left_in_the_middle() -> None:
    shapes = read_shapes(listed(members(name=KEY, used=BYTES)))

    samples, complete = read_samples([{"used": 1}] * 200_000, shapes, most=10)

    assert samples == ()
    assert not complete


@pytest.mark.parametrize(
    "mark",
    [
        None,
        7,
        [],
        {},
        {"kind": "gauge"},
        {"kind": "histogram", "unit": "s"},
        {"kind": ["gauge"], "unit": "s"},
        {"kind": "gauge", "unit": 5},
        {"kind": "gauge", "unit": "x" * 33},
        {"kind": "gauge", "unit": "a\x1b[2J"},
    ],
    ids=repr,
)
def test_a_mark_that_is_none_marks_nothing(mark: Any) -> None:
    assert read_shapes(members(used={"type": "integer", "x-emf-series": mark})) == ()


def test_a_schema_that_multiplies_itself_is_not_followed() -> None:
    defs: dict[str, Any] = {
        f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 10, "properties": {"x": BYTES}}
        for n in range(30)
    }

    shapes = read_shapes({"$ref": "#/$defs/d0", "$defs": defs})

    assert read_samples({"x": 1}, shapes, most=10)[0]


KEYWORDS = st.sampled_from(
    [
        *("properties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "enum", "const"),
        *("additionalProperties", "patternProperties", "a", "b"),
        *("x-emf-series", "x-emf-key", "x-emf-name"),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["a", "b", "#/$defs/a", "#/$defs/b", "gauge", "\ud800", ""])
)
ANYTHING = st.recursive(
    SCALARS | st.sampled_from([BYTES, SENT, KEY]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYWORDS | st.text(), inner, max_size=4)
    ),
    max_leaves=25,
)


@unhurried
@given(schema=ANYTHING, value=ANYTHING)
def test_no_schema_and_no_value_can_hurt(schema: Any, value: Any) -> None:
    samples, _ = read_samples(value, read_shapes(schema), most=5)

    assert len(samples) <= 5
    assert len({sample.name for sample in samples}) == len(samples)
    assert all(0 < len(sample.name) <= LONGEST_NAME for sample in samples)
    json.dumps([sample.value for sample in samples], allow_nan=False)
