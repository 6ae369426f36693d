"""From what is known to what deserves an alert: a node's state, its report, its certificate.

Pure. A text says what is wrong and what to do about it, and holds no number that moves, since an
alert keeps the text it was raised with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from emf_agent.wire import CertificateReport, DaemonHealth, PluginReport
from emf_manager.alerts.values import Condition, Key, Severity

__all__ = [
    "Life",
    "NodeFacts",
    "Room",
    "Vitals",
    "certificate_in_use",
    "happened",
    "manager_conditions",
    "node_conditions",
    "read_vitals",
]

SKEW_S = 300.0
"""A clock further off than this is reported (requirement REL13)."""
WARN_SHARE = 1 / 6
"""An agent renews when a third of its certificate's life is left; at half of that it did not."""
URGENT_SHARE = 1 / 24
FULL_SHARE = 0.1
"""Less room than this share of the disk is too little."""
SHOWN = 200
"""Characters of a reason that are repeated."""
PLUGIN_ADVICE: dict[str, tuple[Severity, str]] = {
    "tampered": ("critical", "find out who changed its files, then reinstall it"),
    "shadowed": ("critical", "uninstall what stands before it"),
    "missing": ("warning", "install its distribution there, or take it out of the allowlist"),
    "version": ("warning", "install the version that the allowlist names"),
    "failed": ("warning", "see the agent's log there"),
}
"""States of a plugin that should be there and is not; ``refused`` is what an allowlist is for."""
DAEMON_ADVICE: dict[str, tuple[Severity, str]] = {
    "quarantined": ("warning", "its updates take too long and are made seldom now"),
    "failed": ("warning", "it does not start; see the agent's log there"),
    "stuck": ("critical", "a call into it hangs; find what it waits for, often a dead mount"),
    "fault": ("warning", "it runs, and says that something is wrong on the node"),
    "late": ("warning", "its updates take longer than they may; see the node's load"),
}


class Part(BaseModel):
    """Base of what is read of a report: the rest may be as it likes."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ReportedHealth(Part):
    daemons: tuple[DaemonHealth, ...] = ()
    actions_fault: str | None = None


class Vitals(Part):
    """What is looked at in the agent's report of itself."""

    plugins: tuple[PluginReport, ...] = ()
    health: ReportedHealth = ReportedHealth()
    clock_offset_s: float | None = None
    certificate: CertificateReport | None = None


@dataclass(frozen=True)
class Life:
    """From when to when a certificate is valid, wall clock."""

    begins: float
    ends: float


@dataclass(frozen=True)
class NodeFacts:
    """Everything about one node that may be a condition."""

    fqdn: str
    silent: bool = False
    reason: str | None = None
    """Why it is silent."""
    vitals: Vitals = field(default_factory=Vitals)
    certificate: Life | None = None
    """The one it uses, as far as that is known."""


@dataclass(frozen=True)
class Room:
    """How full a disk is, in bytes."""

    where: str
    total: int
    free: int


def read_vitals(report: JsonValue) -> Vitals:
    """Return what a report says; nothing where it cannot be read."""
    try:
        return Vitals.model_validate(report)
    except ValidationError:
        return Vitals()


def certificate_in_use(
    newest: Life | None, reported: CertificateReport | None, received: float
) -> Life | None:
    """Return the life of the certificate a node uses: what it says, where the manager's is newer.

    A node may have been given a new certificate and still use the old one.
    """
    if newest is None or reported is None:
        return newest
    says = received + reported.days_left * 86400
    length = newest.ends - newest.begins
    return newest if says >= newest.ends - length / 2 else Life(says - length, says)


def node_conditions(facts: NodeFacts) -> tuple[Condition, ...]:
    """Return all that holds of a node, or will; the worst first."""
    found = [
        *of_contact(facts),
        *of_certificate(facts),
        *of_report(facts.fqdn, facts.vitals),
    ]
    return tuple(sorted(found, key=lambda each: each.severity != "critical"))


def manager_conditions(room: Room | None) -> tuple[Condition, ...]:
    """Return all that holds of the manager itself."""
    if room is None or room.free >= room.total * FULL_SHARE:
        return ()
    text = (
        f"less than {FULL_SHARE:.0%} of the disk under {room.where} is free; make room: when it is "
        "full nothing new is taken, and nothing is lost"
    )
    return (Condition(Key("store.filling"), "critical", text),)


def happened(kind: str, node: str | None, body: dict[str, Any]) -> Condition | None:
    """Return what an event is a case of, if of anything that somebody must look at."""
    match kind:
        case "identity.two_places":
            text = (
                "its certificate is used from two places, a copied machine or a stolen key; find "
                f"out which is right, then revoke it: emf node revoke {node}"
            )
            return Condition(Key(kind, node), "critical", text)
        case "job.conflict":
            action_id = str(body.get("action_id", ""))[:SHOWN]
            text = (
                f"it told two different outcomes of one action, first {body.get('first')}, then "
                f"{body.get('outcome')}; the first stays: look at the node, and at "
                f"emf job show {str(body.get('job'))[:SHOWN]}"
            )
            return Condition(Key(kind, node, action_id), "warning", text)
        case "node.journal_lost":
            text = (
                f"{told(body.get('reason'))}: what it was doing has the outcome unknown; see what "
                "was done there before it is ordered again"
            )
            return Condition(Key(kind, node), "warning", text)
        case "data.dropped" | "data.gap":
            daemon = str(body.get("daemon"))[:SHOWN]
            text = (
                f"values of {daemon} are missing from {body.get('first')} to {body.get('last')}; "
                "the node or the way to it was overloaded"
            )
            return Condition(Key("data.lost", node, daemon), "warning", text)
    return None


def of_contact(facts: NodeFacts) -> Iterator[Condition]:
    if not facts.silent:
        return
    if (facts.reason or "").startswith("goodbye"):
        text = f"the agent was stopped ({told(facts.reason)}); start it: systemctl start emf-agent"
        yield Condition(Key("node.stopped", facts.fqdn), "warning", text)
    else:
        text = (
            f"{told(facts.reason)}; see whether the machine and its network are up, then "
            "systemctl status emf-agent there"
        )
        yield Condition(Key("node.silent", facts.fqdn), "critical", text)


def of_certificate(facts: NodeFacts) -> Iterator[Condition]:
    life = facts.certificate
    if life is None:
        return
    length = life.ends - life.begins
    ending = (
        "its certificate should have been renewed long ago and was not; see the agent's log there, "
        "or enrol it again: emf-agent enroll --force"
    )
    ended = "its certificate ends in a moment or has ended, and then it is refused; enrol it again"
    key, urgent = (Key(f"certificate.{how}", facts.fqdn) for how in ("ending", "ended"))
    yield Condition(key, "warning", ending, life.ends - length * WARN_SHARE)
    yield Condition(urgent, "critical", ended, life.ends - length * URGENT_SHARE)


def of_report(fqdn: str, vitals: Vitals) -> Iterator[Condition]:
    names = Counter(plugin.name for plugin in vitals.plugins)
    for plugin in vitals.plugins:
        state = plugin.state
        if state in PLUGIN_ADVICE:
            severity, advice = PLUGIN_ADVICE[state]
            text = f"plugin {plugin.name} is not loaded ({told(plugin.reason)}); {advice}"
            yield Condition(Key(f"plugin.{state}", fqdn, plugin.name), severity, text)
        elif state == "refused" and names[plugin.name] > 1:
            text = f"plugin {plugin.name} is claimed by another distribution: {told(plugin.reason)}"
            yield Condition(Key("plugin.contested", fqdn, plugin.name), "critical", text)
    for daemon in vitals.health.daemons:
        if daemon.condition in DAEMON_ADVICE:
            severity, advice = DAEMON_ADVICE[daemon.condition]
            text = f"daemon {daemon.name} is {daemon.condition} ({told(daemon.reason)}); {advice}"
            yield Condition(Key(f"daemon.{daemon.condition}", fqdn, daemon.name), severity, text)
    if vitals.health.actions_fault is not None:
        text = f"the node takes no actions: {told(vitals.health.actions_fault)}"
        yield Condition(Key("actions.fault", fqdn), "critical", text)
    if vitals.clock_offset_s is not None and abs(vitals.clock_offset_s) > SKEW_S:
        way = "behind" if vitals.clock_offset_s > 0 else "ahead of"
        text = (
            f"its clock is more than {SKEW_S / 60:.0f} minutes {way} the manager's; see which one "
            "is wrong: chronyc tracking"
        )
        yield Condition(Key("clock.skew", fqdn), "warning", text)


def told(reason: object) -> str:
    text = str(reason) if reason else "no reason was given"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
