"""One typed signature: schema, validation in every accepted form, redaction, honest results."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from emf_agent.plugin import (
    Action,
    ActionContext,
    ArgumentsError,
    ResultError,
    Secret,
    action,
)
from emf_agent.plugin.action import ActionDefinitionError, unportable_patterns


class State(str, Enum):
    STARTED = "Started"
    STOPPED = "Stopped"


class Pool(BaseModel):
    filesystem: str
    name: str


@action(timeout_s=10, dry_run=True, locks=("target:{ost}", "fixed"))
async def change(
    ost: str, count: Annotated[int, Field(ge=0, lt=65536)] = 3, password: Secret | None = None
) -> list[str]:
    """Change an OST.

    More about it.
    """
    return [ost] * count


@action
def cat_file(path: Path) -> str:
    """Return the text of a file."""
    return str(path)


@action
async def nothing() -> None:
    """Take nothing, return nothing."""


@action
async def create_pool(pool: Pool) -> State:
    """Create a pool."""
    return State.STARTED


@action(name="with.context")
async def with_context(ctx: ActionContext, names: list[str] | None = None) -> dict[str, Any]:
    """Want the context."""
    return {"names": names}


@pytest.mark.parametrize(
    ("of", "args", "bound"),
    [
        (nothing, None, {}),
        (nothing, {}, {}),
        (cat_file, "/etc/fstab", {"path": Path("/etc/fstab")}),
        (cat_file, {"path": "/etc/fstab"}, {"path": Path("/etc/fstab")}),
        (change, ["a"], {"ost": "a"}),
        (change, ["a", 2], {"ost": "a", "count": 2}),
        (change, {"ost": "a", "count": 2, "colour": 1}, {"ost": "a", "count": 2}),
        (
            create_pool,
            {"filesystem": "f", "name": "n"},
            {"pool": Pool(filesystem="f", name="n")},
        ),
        (
            create_pool,
            {"pool": {"filesystem": "f", "name": "n"}},
            {"pool": Pool(filesystem="f", name="n")},
        ),
        (with_context, None, {}),
        (with_context, {}, {}),
        (with_context, ["a"], {"names": ["a"]}),
    ],
    ids=[
        "null for none",
        "object for none",
        "one value",
        "one by name",
        "array, defaults left out",
        "array",
        "by name, unknown names ignored",
        "one record",
        "one record by name",
        "null where all have defaults",
        "object where all have defaults",
        "one list is the value itself",
    ],
)
def test_arguments_are_bound(of: Action[..., Any], args: Any, bound: dict[str, Any]) -> None:
    assert of.bind(args) == bound


@pytest.mark.parametrize(
    ("of", "args", "told"),
    [
        (nothing, [], "takes no arguments"),
        (nothing, "x", "takes no arguments"),
        (cat_file, None, "path: Input should be a valid string, got null"),
        (cat_file, {}, "missing field `path`"),
        (cat_file, 3, "path: Input should be a valid string, got 3"),
        (change, None, "missing field `ost`"),
        (change, "a", "takes 3 arguments (ost, count, password)"),
        (change, [], "invalid length 0, expected 3"),
        (change, ["a", 1, "s", 4], "invalid length 4, expected 3"),
        (change, ["a", "2"], "count: Input should be a valid integer, got str"),
        (change, ["a", 1.5], "count: Input should be a valid integer, got 1.5"),
        (change, ["a", True], "count: Input should be a valid integer, got true"),
        (change, ["a", 65536], "count: Input should be less than 65536, got 65536"),
        (change, {"ost": 1, "count": "x"}, "count: Input should be a valid integer"),
        (create_pool, {"filesystem": "f"}, "pool.name"),
    ],
)
def test_bad_arguments_say_field_expected_and_got(
    of: Action[..., Any], args: Any, told: str
) -> None:
    with pytest.raises(ArgumentsError) as caught:
        of.bind(args)

    assert told in str(caught.value)
    assert str(caught.value).startswith(of.name)


def test_every_fault_is_told_not_only_the_first() -> None:
    with pytest.raises(ArgumentsError) as caught:
        change.bind({"ost": 1, "count": "x"})

    assert len(caught.value.faults) == 2


def test_a_bad_secret_is_not_shown() -> None:
    with pytest.raises(ArgumentsError) as caught:
        change.bind({"ost": "a", "password": 4711})

    assert "4711" not in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_any_json_is_bound_or_refused(args: Any) -> None:
    for of in (nothing, cat_file, change, create_pool, with_context):
        try:
            of.bind(args)
        except ArgumentsError:
            continue


@pytest.mark.parametrize(
    ("args", "redacted"),
    [
        ({"ost": "a", "password": "x"}, {"ost": "a", "password": "***"}),
        (["a", 1, "x"], ["a", 1, "***"]),
        ("anything odd", "***"),
    ],
    ids=["by name", "by position", "unreadable"],
)
def test_secrets_are_hidden_in_every_form(args: Any, redacted: Any) -> None:
    assert change.redact(args) == redacted
    assert cat_file.redact(args) == args


def test_a_secret_shows_nowhere_but_where_it_is_asked_for() -> None:
    secret = change.bind(["a", 1, "canary"])["password"]

    assert secret.reveal() == "canary"
    assert "canary" not in f"{secret} {secret!r}"
    assert "canary" not in repr({"x": [secret]})
    assert secret == Secret("canary")


def test_the_schema_names_types_defaults_order_and_secrets() -> None:
    schema = change.args_schema()

    assert schema["required"] == ["ost"]
    assert schema["x-positional"] == ["ost", "count", "password"]
    assert schema["properties"]["count"]["default"] == 3
    assert schema["properties"]["count"]["exclusiveMaximum"] == 65536
    assert schema["properties"]["password"]["anyOf"][0]["writeOnly"] is True
    assert schema["additionalProperties"] is False
    assert "ctx" not in with_context.args_schema()["properties"]
    assert change.result_schema() == {"type": "array", "items": {"type": "string"}}


def test_the_docstring_is_the_help() -> None:
    assert change.summary == "Change an OST."
    assert change.description == "More about it."


def test_names_that_are_no_parameter_are_found_for_people() -> None:
    assert change.unknown_names({"ost": "a", "cuont": 1}) == ("cuont",)
    assert change.unknown_names(["a"]) == ()
    assert create_pool.unknown_names({"filesystem": "f", "name": "n"}) == ()


def test_locks_are_named_by_arguments_and_sorted() -> None:
    assert change.lock_names(change.bind(["OST0001"])) == ("fixed", "target:OST0001")


@pytest.mark.parametrize(
    ("of", "value", "encoded"),
    [
        (nothing, None, None),
        (change, ["a"], ["a"]),
        (create_pool, State.STARTED, "Started"),
        (with_context, {"a": Path("/x")}, {"a": "/x"}),
        (with_context, {"a": float("nan")}, {"a": None}),
    ],
    ids=["none", "list", "enum", "nested", "what is no number is null"],
)
def test_a_result_becomes_json(of: Action[..., Any], value: Any, encoded: Any) -> None:
    assert of.encode(value) == encoded


@pytest.mark.parametrize(
    ("of", "value"),
    [
        (change, 3),
        (change, [1]),
        (nothing, "x"),
        (with_context, {"a": object()}),
    ],
    ids=["wrong type", "wrong item", "something for none", "no json"],
)
def test_a_result_that_breaks_the_promise_is_an_error(of: Action[..., Any], value: Any) -> None:
    with pytest.raises(ResultError, match=of.name):
        of.encode(value)


def test_an_action_is_still_its_function() -> None:
    assert cat_file(Path("/x")) == "/x"


def test_a_good_definition_has_no_fault() -> None:
    assert [one.faults() for one in (change, cat_file, nothing, create_pool)] == [()] * 4


def test_every_fault_of_a_definition_is_told() -> None:
    @action(locks=("{no_such}",))
    def bad(plain, *rest: str):  # type: ignore[no-untyped-def]
        return plain

    faults = " | ".join(bad.faults())

    assert "no docstring" in faults
    assert "plain has no type" in faults
    assert "rest must have a name" in faults
    assert "no return annotation" in faults


def test_a_type_that_json_cannot_carry_is_a_fault() -> None:
    class Odd:
        pass

    @action
    def bad(value: Odd) -> None:
        """Take something odd."""

    @action(locks=("{no_such}",))
    def unlocked(value: str) -> None:
        """Name a lock by what is not there."""

    bad.function.__annotations__["value"] = Odd
    assert "JSON cannot carry" in bad.faults()[0]
    assert "names no parameter" in unlocked.faults()[0]


@action
async def unportable(name: Annotated[str, Field(pattern=r"^[a-z]+\z")]) -> None:
    """Take a name whose pattern only one library understands."""


def test_a_pattern_that_json_schema_cannot_carry_is_a_fault() -> None:
    assert "not one that JSON Schema can carry" in unportable.faults()[0]


@pytest.mark.parametrize(
    ("pattern", "portable"),
    [("^[a-z]+$", True), (r"\Aa", False), (r"a\Z", False), (r"a\z", False), ("(", False)],
)
def test_portable_patterns_are_told_from_others(pattern: str, *, portable: bool) -> None:
    schema = {"properties": {"a": {"anyOf": [{"pattern": pattern}, {"type": "null"}]}}}

    assert (unportable_patterns(schema) == []) is portable


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_a_timeout_that_makes_no_sense_is_refused(timeout_s: float) -> None:
    with pytest.raises(ActionDefinitionError):
        action(timeout_s=timeout_s)


def test_a_context_without_an_agent_goes_nowhere_and_has_all_the_time() -> None:
    context = ActionContext()

    assert context.remaining() == float("inf")


def test_a_default_of_none_does_not_change_the_type_on_any_python() -> None:
    @action
    async def odd(
        n: int = None,  # type: ignore[assignment]  # noqa: RUF013 - what people write
        ctx: ActionContext = None,  # type: ignore[assignment]
    ) -> None:
        """Have defaults that do not fit their types."""

    assert odd.context_parameter == "ctx"
    assert [one.name for one in odd.parameters] == ["n"]
    assert odd._hints["n"] is int
