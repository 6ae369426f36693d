"""The node's own say over actions: the truth table, and what arguments rules see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from emf_agent.plugin import Secret, action
from emf_agent.policy import judge, permit
from emf_agent.registry import RegisteredAction, Registry
from emf_agent.settings import ArgumentRule, PolicySettings

UNITS = ArgumentRule(
    action="*_unit", argument="unit", allow=("lnet.service", "emf-*"), deny=("emf-agent*",)
)


@pytest.mark.parametrize(
    ("policy", "name", "arguments", "refused"),
    [
        pytest.param(PolicySettings(), "lctl", {}, False, id="nothing is said"),
        pytest.param(PolicySettings(deny=("lctl", "pcs")), "lctl", {}, True, id="denied"),
        pytest.param(PolicySettings(deny=("lctl",)), "lctl2", {}, False, id="only the whole name"),
        pytest.param(PolicySettings(deny=("lctl*",)), "lctl2", {}, True, id="a glob"),
        pytest.param(PolicySettings(allow=("get_*",)), "set_x", {}, True, id="not allowed"),
        pytest.param(
            PolicySettings(allow=("a",), deny=("a",)), "a", {}, True, id="deny goes before allow"
        ),
        pytest.param(PolicySettings(read_only=True), "a", {}, True, id="read-only"),
        pytest.param(
            PolicySettings(read_only=True, readers=("get_*",)), "get_x", {}, False, id="a reader"
        ),
        pytest.param(PolicySettings(rule=(UNITS,)), "ping", {}, False, id="a rule on others"),
        pytest.param(
            PolicySettings(rule=(UNITS,)), "stop_unit", {"unit": "lnet.service"}, False, id="fits"
        ),
        pytest.param(
            PolicySettings(rule=(UNITS,)), "stop_unit", {"unit": "sshd.service"}, True, id="not"
        ),
        pytest.param(
            PolicySettings(rule=(UNITS,)),
            "stop_unit",
            {"unit": "emf-agent.service"},
            True,
            id="an argument denied",
        ),
        pytest.param(
            PolicySettings(rule=(UNITS,)),
            "stop_unit",
            {"unit": ["lnet.service", "sshd.service"]},
            True,
            id="one of a list does not fit",
        ),
        pytest.param(
            PolicySettings(rule=(UNITS,)), "stop_unit", {}, True, id="the argument is not there"
        ),
        pytest.param(
            PolicySettings(rule=(ArgumentRule(action="*", argument="path", allow=("/mnt/*",)),)),
            "cat",
            {"path": Path("/mnt/../etc/shadow")},
            True,
            id="a path that climbs",
        ),
        pytest.param(
            PolicySettings(rule=(ArgumentRule(action="*", argument="n", allow=("1", "true")),)),
            "cat",
            {"n": True},
            False,
            id="a value that is no text",
        ),
    ],
)
def test_the_node_has_its_say(
    policy: PolicySettings, name: str, arguments: Mapping[str, Any], refused: bool
) -> None:
    assert (judge(policy, name, arguments) is not None) is refused


@action
async def stop_unit(unit: str, mode: str = "replace") -> None:
    """Stop."""


REGISTRY = Registry(actions={"stop_unit": RegisteredAction("p", stop_unit)})


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(["sshd", "replace"], id="by position"),
        pytest.param({"unit": "sshd"}, id="by name"),
    ],
)
def test_a_rule_sees_an_argument_in_each_form_it_can_be_given_in(args: Any) -> None:
    rules = PolicySettings(rule=(UNITS,))

    assert permit(rules, REGISTRY)("stop_unit", args) is not None


def test_a_rule_sees_a_default_too() -> None:
    rule = ArgumentRule(action="stop_unit", argument="mode", deny=("replace",))

    assert permit(PolicySettings(rule=(rule,)), REGISTRY)("stop_unit", {"unit": "x"}) is not None


def test_arguments_that_do_not_fit_are_left_to_the_action_unless_it_is_denied() -> None:
    wrong: Any = {"unit": 3}

    assert permit(PolicySettings(rule=(UNITS,)), REGISTRY)("stop_unit", wrong) is None
    assert permit(PolicySettings(deny=("stop_*",)), REGISTRY)("stop_unit", wrong) is not None


def test_a_denied_action_that_is_not_here_is_denied_all_the_same() -> None:
    assert permit(PolicySettings(deny=("lctl",)), REGISTRY)("lctl", None) is not None


@action
async def set_password(password: Secret) -> None:
    """Set."""


def test_a_read_only_node_runs_what_says_that_it_changes_nothing() -> None:
    @action(read_only=True)
    async def look(where: str) -> None:
        """Look."""

    @action
    async def touch(where: str) -> None:
        """Touch."""

    registry = Registry(actions={one.name: RegisteredAction("p", one) for one in (look, touch)})
    ask = permit(PolicySettings(read_only=True), registry)

    assert ask("look", "x") is None
    assert ask("look", {"no": "argument"}) is None
    assert "read-only" in str(ask("touch", "x"))
    assert "read-only" in str(ask("unheard_of", "x"))
    assert "denied" in str(permit(PolicySettings(deny=("look",)), registry)("look", "x"))


def test_a_secret_is_judged_and_not_told() -> None:
    rule = ArgumentRule(action="*", argument="password", deny=("hunter2",))
    registry = Registry(actions={"set_password": RegisteredAction("p", set_password)})

    told = permit(PolicySettings(rule=(rule,)), registry)("set_password", "hunter2")

    assert told is not None
    assert "hunter2" not in told
