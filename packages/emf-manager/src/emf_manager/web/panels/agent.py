"""Panels of the daemon ``agent``: how the agent itself fares, its plugins and daemons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from emf_manager.web.figures import NONE, quantity
from emf_manager.web.panels.blocks import (
    Block,
    Cell,
    Facts,
    Head,
    Mark,
    Shape,
    Table,
    Tone,
    Words,
    cut,
    words,
)

__all__ = ["agent"]

TONES: dict[str, Tone] = {
    "ok": "ok", "loaded": "ok", "starting": "busy", "not-applicable": "idle", "disabled": "idle",
    "late": "warn", "version": "warn", "missing": "warn", "shadowed": "warn",
}  # fmt: skip
SKEW_S = 1.0
SOON_DAYS = 14


class Plugin(Shape):
    """A plugin."""

    name: str
    distribution: str | None = None
    version: str | None = None
    state: str = ""
    reason: str | None = None
    actions: tuple[str, ...] = ()
    daemons: tuple[str, ...] = ()


class Described(Shape):
    """A daemon, as the catalogue has it."""

    name: str
    interval_s: float | None = None
    deadline_s: float | None = None
    delivery: str = ""


class Condition(Shape):
    """How a daemon fares."""

    name: str
    session: str = ""
    condition: str = ""
    reason: str | None = None
    overruns: int = 0
    failures: int = 0


class Health(Shape):
    """How the agent fares."""

    daemons: tuple[Condition, ...] = ()
    running_actions: int = 0
    outbox_messages: int = 0
    unreadable_messages: int = 0
    longest_stall_s: float = 0.0
    stalled_by: str | None = None
    containment: str = ""
    detached: str | None = None
    actions_fault: str | None = None


class Certificate(Shape):
    """The node's certificate."""

    subject: str = ""
    days_left: float = 0.0


class Agent(Shape):
    """The payload."""

    version: str
    protocol: int | None = None
    python: str = ""
    mode: str = ""
    plugins: tuple[Plugin, ...] = ()
    daemons: tuple[Described, ...] = ()
    health: Health = Health()
    clock_offset_s: float | None = None
    certificate: Certificate | None = None


def agent(payload: Any) -> tuple[Block, ...]:
    """Return the panels; raises ValidationError where it is none of ours."""
    read = Agent.model_validate(payload)
    paces = {one.name: one for one in read.daemons}
    daemon_heads = (
        Head("Daemon"), Head("Condition"), Head("Session"), Head("Every", number=True),
        Head("Overruns", number=True), Head("Failures", number=True), Head("Reason"),
    )  # fmt: skip
    ordered = sorted(read.health.daemons, key=lambda one: (rank(one.condition), one.name))
    daemons, more_daemons = cut(daemon_row(one, paces.get(one.name)) for one in ordered)
    plugin_heads = (
        Head("Plugin"), Head("State"), Head("Distribution"), Head("Version"),
        Head("Actions", number=True), Head("Daemons", number=True), Head("Reason"),
    )  # fmt: skip
    plugins, more = cut(
        plugin_row(one) for one in sorted(read.plugins, key=lambda p: (rank(p.state), p.name))
    )
    return (
        Facts("Agent", tuple(facts(read))),
        Table("Daemons", daemon_heads, daemons, beyond=more_daemons),
        Table("Plugins", plugin_heads, plugins, beyond=more),
    )


def rank(state: str) -> int:
    """Return where a state stands when the worst come first."""
    return ("bad", "warn", "busy", "ok", "idle").index(TONES.get(state, "bad"))


def facts(read: Agent) -> Iterable[tuple[str, Cell]]:
    health = read.health
    yield "version", Words(f"{read.version}, protocol {read.protocol}, Python {read.python}")
    yield "plugins are let in by", words(read.mode)
    if read.certificate is not None:
        days = f"{read.certificate.days_left:.0f} days left"
        soon = read.certificate.days_left < SOON_DAYS
        yield "certificate", Mark(days, "warn") if soon else Words(days)
    if read.clock_offset_s is not None:
        off = quantity(read.clock_offset_s, "seconds")
        skewed = abs(read.clock_offset_s) > SKEW_S
        yield "clock, against the manager's", Mark(off, "warn") if skewed else Words(off)
    yield "running actions", words(health.running_actions)
    yield "messages that wait", words(health.outbox_messages)
    if health.unreadable_messages:
        yield "unreadable messages", Mark(str(health.unreadable_messages), "warn")
    stall = quantity(health.longest_stall_s, "seconds")
    by = f", by {health.stalled_by}" if health.stalled_by else ""
    yield "longest stall", Words(f"{stall}{by}")
    yield "commands are held in", words(health.containment)
    yield "detached actions run", words(health.detached)
    if health.actions_fault:
        yield "takes no actions", Mark(health.actions_fault, "bad")


def daemon_row(one: Condition, pace: Described | None) -> tuple[Cell, ...]:
    every = None if pace is None or pace.interval_s is None else f"{pace.interval_s:g} s"
    return (
        words(one.name, code=True),
        Mark(one.condition or NONE, TONES.get(one.condition, "bad")),
        words(one.session),
        words(every),
        words(one.overruns),
        words(one.failures),
        words(one.reason),
    )


def plugin_row(one: Plugin) -> tuple[Cell, ...]:
    return (
        words(one.name, code=True),
        Mark(one.state or NONE, TONES.get(one.state, "bad")),
        words(one.distribution),
        words(one.version),
        words(len(one.actions)),
        words(len(one.daemons)),
        words(one.reason),
    )
