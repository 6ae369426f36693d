"""A scan's configuration and result, and which lists of FIDs go to which mailboxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from typing_extensions import NotRequired, TypedDict

from emf_agent.errors import ActionError

__all__ = ["Device", "Group", "Rule", "ScanAnswer", "mailbox_files", "parse_result"]

NO_LIST = "none"


class Rule(TypedDict):
    """One rule of a group."""

    action: str
    expression: str
    argument: str
    counter_name: NotRequired[str | None]


class Group(TypedDict):
    """Rules that are counted together."""

    name: str
    rules: list[Rule]


class Device(TypedDict):
    """The MDT's device, and the groups that are looked for."""

    path: str
    groups: list[str]


class Counter(BaseModel):
    """What is needed of a counter; the rest passes through untouched."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: str
    flist_type: str


class GroupCounters(BaseModel):
    """The counters of a group, in the order of its rules."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: str
    counters: list[Counter]


class Result(BaseModel):
    """What is needed of ``result.json``."""

    model_config = ConfigDict(extra="ignore", strict=True)

    group_counters: list[GroupCounters]


def parse_result(text: str) -> Result:
    """Read ``result.json``; raises ActionError where it is none."""
    try:
        return Result.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ActionError(f"lipe_scan: result.json: {where}: {first['msg']}") from error


def mailbox_files(folder: str, groups: Sequence[Group], result: Result) -> list[tuple[str, str]]:
    """Return each list of FIDs and its mailbox: ``<group>-<argument of the counter's rule>``.

    Raises ActionError where a counter has no rule.
    """
    rules: Mapping[str, Sequence[Rule]] = {group["name"]: group["rules"] for group in groups}
    found = []
    for group in result.group_counters:
        for position, counter in enumerate(group.counters):
            if counter.flist_type == NO_LIST:
                continue
            if position >= len(rules.get(group.name, ())):
                raise ActionError(
                    f"lipe_scan: result.json: group {group.name!r} has a counter {counter.name!r}"
                    " without a rule in the configuration"
                )
            if "/" in group.name + counter.name:
                raise ActionError(
                    f"lipe_scan: result.json: {group.name!r}, {counter.name!r}: no name of a folder"
                )
            argument = rules[group.name][position]["argument"]
            path = f"{folder.rstrip('/')}/{group.name}/{counter.name}"
            found.append((path, f"{group.name}-{argument}"))
    return found


ScanAnswer = tuple[str, dict[str, JsonValue], list[tuple[str, str]]]
"""The folder, ``result.json`` as it is, and the lists with their mailboxes."""
