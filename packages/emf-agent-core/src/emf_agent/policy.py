"""The node's own say over actions, ``[policy]``: a pure judgement that no manager can override.

Judged is what the action would be called with: defaults included, after validation, so that an
argument cannot be written in a way that the rule does not see (security requirement R17).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, JsonValue

from emf_agent.plugin import Action, ArgumentsError, Secret
from emf_agent.registry import Registry
from emf_agent.settings import ArgumentRule, PolicySettings

__all__ = ["judge", "permit"]


def judge(
    policy: PolicySettings, action: str, arguments: Mapping[str, Any], *, reads: bool = False
) -> str | None:
    """Return why an action may not run with these arguments by name, or None where it may.

    ``reads`` tells whether the action says of itself that it changes nothing.
    """
    denying = matching(policy.deny, action)
    if denying is not None:
        return f"{action} is denied on this node (policy.deny has {denying!r})"
    if matching(policy.allow, action) is None:
        return f"{action} is not allowed on this node (policy.allow)"
    if policy.read_only and not reads and matching(policy.readers, action) is None:
        return (
            f"{action} does not say that it changes nothing, nor is it among policy.readers, "
            "and this node is read-only"
        )
    for rule in policy.rule:
        if fnmatchcase(action, rule.action):
            reason = judge_argument(rule, action, arguments)
            if reason is not None:
                return reason
    return None


def judge_argument(rule: ArgumentRule, action: str, arguments: Mapping[str, Any]) -> str | None:
    """Return why one argument is not admitted by a rule, or None; the value is not repeated."""
    where = f"{action}: argument {rule.argument!r}"
    if rule.argument not in arguments:
        return f"{where} is bound by a rule of this node, and the action has no such argument"
    for value in texts(arguments[rule.argument]):
        if matching(rule.deny, value) is not None:
            return f"{where} has a value that this node denies (policy.rule)"
        admitting = matching(rule.allow, value)
        if admitting is None or (admitting != "*" and ".." in PurePath(value).parts):
            return f"{where} has a value that this node does not allow (policy.rule)"
    return None


def matching(patterns: Iterable[str], text: str) -> str | None:
    """Return the first glob that matches."""
    return next((one for one in patterns if fnmatchcase(text, one)), None)


def texts(value: Any) -> list[str]:
    """Return a value as the texts that globs are held against; of a list, each item."""
    if isinstance(value, Secret):
        return [value.reveal()]
    if isinstance(value, (str, PurePath)):
        return [str(value)]
    if isinstance(value, Enum):
        return texts(value.value)
    if isinstance(value, BaseModel):
        return [value.model_dump_json()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [text for item in value for text in texts(item)]
    return [json.dumps(value, default=str)]


def permit(policy: PolicySettings, registry: Registry) -> Callable[[str, JsonValue], str | None]:
    """Return the question the action runner asks before it accepts an action."""

    def ask(name: str, args: JsonValue) -> str | None:
        registered = registry.actions.get(name)
        if registered is None:
            return judge(policy, name, {})
        action = registered.action
        try:
            bound = action.bind(args)
        except ArgumentsError:
            # Refused for its arguments in a moment; only the name is left to judge.
            by_name = policy.model_copy(update={"rule": ()})
            return judge(by_name, name, {}, reads=action.read_only)
        return judge(policy, name, {**defaults(action), **bound}, reads=action.read_only)

    return ask


def defaults(action: Action[..., Any]) -> dict[str, Any]:
    """Return the arguments that need not be given."""
    return {one.name: one.default for one in action.parameters if one.default is not one.empty}
