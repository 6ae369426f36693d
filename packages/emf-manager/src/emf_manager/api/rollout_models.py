"""How a job is to go over its nodes, what would match, and groups: what the API says and takes."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from emf_manager.nodesets import MAX_NODES
from emf_manager.rollouts import Rollout, Share

__all__ = [
    "FactFilters",
    "Group",
    "GroupRequest",
    "LeftOut",
    "Matched",
    "Options",
    "RolloutOptions",
    "Targets",
    "TargetsRequest",
    "options_of",
]

NODE = "oss01.example.com"
NodeSetText = Annotated[
    str, Field(min_length=1, max_length=65536, examples=["oss[01-16].example.com"])
]
FactText = Annotated[str, Field(min_length=3, max_length=512)]
FactFilters = Annotated[
    tuple[FactText, ...],
    Field(
        strict=False,
        max_length=32,
        examples=[["os.name=rhel", "lustre.target~OST"]],
        description="All of them must hold: NAME and one of = != ~ !~ < <= > >= and a value.",
    ),
]
PERCENTAGE = r"^(100|[1-9][0-9]?)%$"


def number_or_percentage(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_NODES:
        return value
    if isinstance(value, str) and re.fullmatch(PERCENTAGE, value):
        return value
    raise ValueError(f"a number from 1 to {MAX_NODES}, or a percentage from 1% to 100%")


ShareOfNodes = Annotated[
    int | str,
    PlainValidator(number_or_percentage),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_NODES},
                {"type": "string", "pattern": PERCENTAGE},
            ]
        }
    ),
]
"""Nodes, or a percentage of them: rounded up."""


class RolloutOptions(BaseModel):
    """How a job goes over its nodes; nothing said is all at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    batch: ShareOfNodes | None = Field(
        default=None, examples=[4], description="Nodes released together, of those targeted."
    )
    limit: ShareOfNodes | None = Field(
        default=None, examples=["25%"], description="Only the first so many, by name."
    )
    canary: ShareOfNodes | None = Field(
        default=None, examples=[1], description="Go first; the rest only if all of them succeed."
    )
    fail_limit: ShareOfNodes | None = Field(
        default=None,
        examples=["10%"],
        description="Nothing more is released once so many have not succeeded.",
    )
    spread: Literal["ha"] | None = Field(
        default=None, description="ha: never two servers of one HA cluster at once."
    )

    def rollout(self) -> Rollout:
        """Return the options as the rules take them."""
        return Rollout(
            batch=share(self.batch),
            limit=share(self.limit),
            canary=share(self.canary),
            fail_limit=share(self.fail_limit),
            spread=self.spread,
        )


class Options(BaseModel):
    """How a job goes over its nodes."""

    model_config = ConfigDict(frozen=True)

    batch: int | str | None = Field(default=None, examples=[4])
    limit: int | str | None = None
    canary: int | str | None = Field(default=None, examples=["5%"])
    fail_limit: int | str | None = None
    spread: str | None = None


def share(given: int | str | None) -> Share | None:
    if given is None:
        return None
    return Share(int(str(given).rstrip("%")), percent=isinstance(given, str))


def options_of(rollout: Rollout) -> Options | None:
    """Return a rollout as the API shows it; None where all nodes go at once."""
    if rollout == Rollout():
        return None

    def told(given: Share | None) -> int | str | None:
        return None if given is None else str(given) if given.percent else given.number

    return Options(
        batch=told(rollout.batch),
        limit=told(rollout.limit),
        canary=told(rollout.canary),
        fail_limit=told(rollout.fail_limit),
        spread=rollout.spread,
    )


class TargetsRequest(RolloutOptions):
    """Asks which nodes a job would go to, and which not."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"nodes": "@oss", "facts": ["os.name=rhel"], "batch": "25%", "spread": "ha"}
            ]
        }
    )

    nodes: NodeSetText
    exclude: NodeSetText | None = None
    facts: FactFilters = ()
    action: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None, examples=["package_installed"], description="Leave out who does not have it."
    )
    show_facts: bool = Field(default=False, description="Tell every fact of the nodes that match.")


class Matched(BaseModel):
    """A node that a job would go to."""

    model_config = ConfigDict(frozen=True)

    node: str = Field(examples=[NODE])
    state: Literal["connected", "silent", "never"]
    batch: int = Field(examples=[1], description="Goes when all before have their outcome.")
    facts: dict[str, bool | int | float | str | tuple[bool | int | float | str, ...]] | None = (
        Field(default=None, examples=[{"os.name": "rhel"}])
    )


class LeftOut(BaseModel):
    """A node that the node set means and that the job would not go to."""

    model_config = ConfigDict(frozen=True)

    node: str = Field(examples=[NODE])
    reason: str = Field(examples=["os.name is debian, not = rhel"])


class Targets(BaseModel):
    """What would match, by name, and why each other node is left out."""

    model_config = ConfigDict(frozen=True)

    matched: tuple[Matched, ...]
    left_out: tuple[LeftOut, ...]
    batches: int = Field(examples=[4])


class Group(BaseModel):
    """A group of nodes; those that nobody defined come from roles, labels and states."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(examples=["rack1"])
    nodes: str = Field(examples=["oss[01-08].example.com"], description="Folded node set of now.")
    node_count: int = Field(examples=[8])
    defined: str | None = Field(
        default=None, examples=["@oss&oss[01-08]"], description="As an operator defined it."
    )
    changed: datetime | None = None
    changed_by: str | None = Field(default=None, examples=["maria"])
    fault: str | None = Field(default=None, description="Why it cannot be read any more.")


class GroupRequest(BaseModel):
    """Says which nodes are in a group."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"nodes": "@oss!oss01"}]}
    )

    nodes: NodeSetText
