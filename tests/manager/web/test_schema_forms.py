"""Forms out of JSON Schema: what they ask for, and that nothing changes on the way through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, PackageLoader, StrictUndefined

from emf_manager.web.schema_forms.filled import ABSENT, explained, fill, read, submitted
from emf_manager.web.schema_forms.from_schema import MOST_FIELDS, form_of
from emf_manager.web.schema_forms.shapes import (
    Anything,
    Choice,
    Field,
    Flag,
    Members,
    Number,
    NumberOrText,
    OneOf,
    Pairs,
    Places,
    Rows,
    Shape,
    Text,
)
from tests.manager.web.browser_form import controls

TEMPLATES = Environment(
    loader=PackageLoader("emf_manager.web"), autoescape=True, undefined=StrictUndefined
)
NAME = {"type": "string", "pattern": "^[a-z]+$"}
WORDS = {
    "type": "object",
    "properties": {"words": {"type": "array", "items": {"type": "string"}}},
    "required": ["words"],
}


def html(filled: Any) -> str:
    """Return a form as a page shows it."""
    parts: Any = TEMPLATES.get_template("schema_forms/field.html").module
    return str(parts.arguments(filled))


def sent_back(field: Field, value: Any) -> Any:
    """Return what comes of a form that is shown with a value and submitted unchanged."""
    again = submitted(field, dict(controls(html(fill(field, value)))))
    meant, faults = read(again)
    assert not faults, faults
    return meant


def member(schema: Any, **others: Any) -> Field:
    """Return the form of one member of an object."""
    form = form_of({"type": "object", "properties": {"it": schema}, **others})
    assert isinstance(form.shape, Members)
    return form.shape.fields[0]


@pytest.mark.parametrize(
    ("schema", "shape", "nullable"),
    [
        pytest.param({"type": "string"}, Text(), False, id="text"),
        pytest.param(NAME, Text(may_be_empty=False), False, id="a pattern without the empty text"),
        pytest.param(
            {"type": "string", "minLength": 1}, Text(may_be_empty=False), False, id="long"
        ),
        pytest.param({"type": "string", "pattern": "("}, Text(), False, id="no pattern at all"),
        pytest.param(
            {"type": "string", "format": "password", "writeOnly": True},
            Text(secret=True),
            False,
            id="secret",
        ),
        pytest.param(
            {"type": "integer", "minimum": 1, "maximum": 9},
            Number(whole=True, minimum=1, maximum=9),
            False,
            id="whole number",
        ),
        pytest.param({"type": "number"}, Number(), False, id="number"),
        pytest.param({"type": "boolean"}, Flag(), False, id="yes or no"),
        pytest.param({"enum": ["a", "b"]}, Choice(('"a"', '"b"')), False, id="choice"),
        pytest.param({"enum": ["a", None]}, Choice(('"a"',)), True, id="choice or null"),
        pytest.param({"const": 1}, Choice(("1",)), False, id="the only value"),
        pytest.param(
            {"anyOf": [NAME, {"type": "null"}]}, Text(may_be_empty=False), True, id="null"
        ),
        pytest.param({"type": ["integer", "null"]}, Number(whole=True), True, id="two types"),
        pytest.param(
            {"type": ["integer", "string"]}, NumberOrText(whole=True), False, id="4 or 9%"
        ),
        pytest.param({}, Anything(), False, id="anything"),
        pytest.param({"type": "array"}, Anything(), False, id="a list of anything"),
        pytest.param({"$ref": "#/$defs/gone"}, Anything(), False, id="a reference into nowhere"),
        pytest.param({"type": "odd"}, Anything(), False, id="an unknown type"),
        pytest.param({"allOf": [{"type": "boolean"}]}, Flag(), False, id="all of one"),
        pytest.param({"anyOf": []}, Anything(), False, id="one of none"),
    ],
)
def test_each_schema_has_its_control(schema: Any, shape: Shape, nullable: bool) -> None:
    field = form_of(schema)

    assert (field.shape, field.nullable) == (shape, nullable)


def test_lists_objects_and_unions_nest() -> None:
    form = form_of(
        {
            "$defs": {"Mount": {"type": "object", "properties": {"at": NAME}, "required": ["at"]}},
            "type": "object",
            "properties": {
                "mounts": {"type": "array", "items": {"$ref": "#/$defs/Mount"}, "maxItems": 3},
                "pair": {
                    "type": "array",
                    "prefixItems": [NAME, NAME],
                    "minItems": 2,
                    "maxItems": 2,
                },
                "task": {"type": "object", "additionalProperties": {"type": "string"}},
                "score": {"anyOf": [{"enum": ["INFINITY"]}, {"$ref": "#/$defs/Mount"}]},
            },
            "required": ["mounts"],
        }
    )

    assert isinstance(form.shape, Members)
    mounts, pair, task, score = form.shape.fields
    assert isinstance(mounts.shape, Rows)
    assert mounts.shape.most == 3
    assert isinstance(mounts.shape.each.shape, Members)
    assert not mounts.optional
    assert isinstance(pair.shape, Places)
    assert pair.optional
    assert isinstance(task.shape, Pairs)
    assert isinstance(score.shape, OneOf)
    assert [one.label for one in score.shape.fields] == ["INFINITY", "Mount"]


def test_a_schema_that_names_itself_becomes_json_text() -> None:
    node: dict[str, Any] = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
    }
    form = form_of({"$defs": {"Node": node}, "$ref": "#/$defs/Node"})

    assert isinstance(form.shape, Members)
    assert isinstance(form.shape.fields[0].shape, Rows)
    assert form.shape.fields[0].shape.each.shape == Anything()


def test_a_schema_of_any_size_makes_a_form_of_some_size() -> None:
    wide = {"type": "object", "properties": {f"m{i}": {"type": "object", "properties": {
        f"n{j}": {"type": "string"} for j in range(50)}} for i in range(50)}}  # fmt: skip

    form = form_of(wide)

    assert html(fill(form, ABSENT)).count("<input") <= MOST_FIELDS + 50


@pytest.mark.parametrize(
    ("sent", "at"),
    [
        pytest.param({"args/port": "x"}, "port", id="no number"),
        pytest.param({"args/port": "1.5"}, "port", id="no whole number"),
        pytest.param({"args/port": "9" * 5000}, "port", id="a very long number"),
        pytest.param(
            {"args/port": "1", "args/protocol": '"icmp"'}, "protocol", id="no such choice"
        ),
        pytest.param({"args/port": "1", "args/protocol": ""}, "protocol", id="nothing chosen"),
        pytest.param({"args/port": "1", "args/any": "{"}, "any", id="no JSON"),
        pytest.param({"args/port": "1", "args/any": "[" * 5000}, "any", id="deep JSON"),
        pytest.param({"args/port": "1", "args/any": "NaN"}, "any", id="a constant JSON lacks"),
    ],
)
def test_what_cannot_be_read_is_said_at_its_field(sent: dict[str, str], at: str) -> None:
    form = form_of(
        {
            "type": "object",
            "properties": {
                "port": {"type": "integer"},
                "protocol": {"enum": ["tcp", "udp"]},
                "any": {},
            },
            "required": ["port", "protocol", "any"],
        }
    )
    good = {"args/port": "1", "args/protocol": '"tcp"', "args/any": "1"}

    filled = submitted(form, good | sent)
    _, faults = read(filled)

    assert list(faults) == [(at,)]
    shown = html(explained(filled, faults))
    assert shown.count('role="alert"') == 1


def test_rows_are_added_and_taken_without_scripts() -> None:
    form = form_of(WORDS)
    sent = dict(controls(html(fill(form, {"words": ["a", "b", "c"]}))))

    more, _ = read(submitted(form, sent, edit="+args/words"))
    less, _ = read(submitted(form, sent, edit="-args/words/1"))

    assert more == {"words": ["a", "b", "c", ""]}
    assert less == {"words": ["a", "c"]}


def test_a_row_that_is_added_to_a_list_left_out_is_there() -> None:
    form = form_of({**WORDS, "required": []})
    sent = dict(controls(html(fill(form, {}))))

    assert read(submitted(form, sent))[0] == {}
    assert read(submitted(form, sent, edit="+args/words"))[0] == {"words": [""]}


@pytest.mark.parametrize("edit", ["-args/words/9", "-args/words/x", "+args/other", "nonsense", "+"])
def test_an_edit_that_means_nothing_changes_nothing(edit: str) -> None:
    form = form_of(WORDS)

    value, _ = read(submitted(form, {"args/words#": "1", "args/words/0": "a"}, edit=edit))

    assert value == {"words": ["a"]}


@pytest.mark.parametrize("count", ["-1", "x", "999999999999", "²", ""])
def test_a_forged_number_of_rows_costs_nothing(count: str) -> None:
    form = form_of({"type": "array", "items": {"type": "string"}})

    value, _ = read(submitted(form, {"args#": count}))

    assert len(value) <= 100


def test_a_secret_is_never_shown_again() -> None:
    form = form_of({"type": "object", "properties": {"key": {"type": "string", "writeOnly": True}},
                    "required": ["key"]})  # fmt: skip

    filled = submitted(form, {"args/key": "s3cret"})

    assert read(filled)[0] == {"key": "s3cret"}
    assert "s3cret" not in html(filled)
    assert "s3cret" not in html(fill(form, {"key": "s3cret"}))


def test_text_of_a_schema_is_only_ever_text() -> None:
    evil = '"><script>alert(1)</script>'
    form = form_of(
        {
            "type": "object",
            "properties": {
                evil: {"type": "string", "title": evil, "description": evil, "examples": [evil]},
                "choice": {"enum": [evil, "b"]},
            },
        }
    )

    shown = html(fill(form, {evil: evil, "choice": evil}))

    assert "<script" not in shown
    assert sent_back(form, {evil: evil, "choice": evil}) == {evil: evil, "choice": evil}


# Property: unchanged through the form

texts = st.text(max_size=8)
names = st.text(min_size=1, max_size=4)
leaves: st.SearchStrategy[tuple[dict[str, Any], st.SearchStrategy[Any]]] = st.sampled_from(
    [
        ({"type": "string"}, texts),
        (NAME, st.text("abc", min_size=1, max_size=3)),
        ({"type": "integer"}, st.integers()),
        ({"type": "number"}, st.floats(allow_nan=False, allow_infinity=False) | st.integers()),
        ({"type": "boolean"}, st.booleans()),
        ({"enum": ["a", 1, True, None, ""]}, st.sampled_from(["a", 1, True, None, ""])),
        ({}, st.none() | st.booleans() | texts | st.lists(st.integers(), max_size=2)),
        ({"type": ["string", "null"]}, st.none() | texts),
        ({"type": ["integer", "string"]}, st.integers() | texts | st.sampled_from(["5", "25%"])),
    ]
)
Both = tuple[dict[str, Any], st.SearchStrategy[Any]]


def grown(inner: st.SearchStrategy[Both]) -> st.SearchStrategy[Both]:
    """Return schemas that hold these, with their values."""

    def many(one: Both) -> Both:
        return {"type": "array", "items": one[0]}, st.lists(one[1], max_size=3)

    def paired(two: tuple[Both, Both]) -> Both:
        schema = {"type": "array", "prefixItems": [two[0][0], two[1][0]]}
        return {**schema, "minItems": 2, "maxItems": 2}, st.tuples(two[0][1], two[1][1]).map(list)

    def either(two: tuple[Both, Both]) -> Both:
        return {"anyOf": [two[0][0], two[1][0]]}, two[0][1] | two[1][1]

    def named(one: Both) -> Both:
        schema = {"type": "object", "additionalProperties": one[0]}
        return schema, st.dictionaries(texts, one[1], max_size=3)

    def whole(parts: tuple[dict[str, Both], dict[str, Both]]) -> Both:
        needed, others = parts
        others = {name: one for name, one in others.items() if name not in needed}
        schema = {
            "type": "object",
            "properties": {name: one[0] for name, one in {**needed, **others}.items()},
            "required": list(needed),
        }
        return schema, st.fixed_dictionaries(
            {name: one[1] for name, one in needed.items()},
            optional={name: one[1] for name, one in others.items()},
        )

    two = st.tuples(inner, inner)
    members = st.dictionaries(names, inner, max_size=3)
    return st.one_of(
        inner.map(many),
        two.map(paired),
        two.map(either),
        inner.map(named),
        st.tuples(members, members).map(whole),
    )


@settings(max_examples=60, deadline=None)
@given(st.data(), st.recursive(leaves, grown, max_leaves=6))
def test_submitted_unchanged_a_form_gives_the_value_it_was_made_with(data: Any, both: Both) -> None:
    schema, values = both
    value = json.loads(json.dumps(data.draw(values)))

    back = sent_back(form_of(schema), value)

    assert json.dumps(back, sort_keys=True) == json.dumps(value, sort_keys=True)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "anyOf", "allOf", "enum", "$ref", "$defs",
                 "prefixItems", "required", "minItems", "maxItems", "additionalProperties",
                 "default", "title", "examples", "pattern", "minimum", "const"]
            ),
            inner,
            max_size=4,
        ),
        max_leaves=20,
    ).filter(lambda made: isinstance(made, dict)),
    st.dictionaries(
        st.sampled_from(["args", "args#", "args?", "args|", "args/0", "args:json"]), texts
    ),
)  # fmt: skip
def test_no_schema_and_nothing_that_is_sent_breaks_a_form(schema: Any, sent: Any) -> None:
    form = form_of(schema)

    html(fill(form, ABSENT))
    filled = submitted(form, sent)
    _, faults = read(filled)
    html(explained(filled, faults))
