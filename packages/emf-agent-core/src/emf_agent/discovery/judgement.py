"""The verdict on every entry point, before any of it is imported: rules against metadata, pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from emf_agent.allowlist import Allowlist, Rule
from emf_agent.discovery.installed import Entry
from emf_agent.wire import PluginReport, PluginState

__all__ = ["Check", "Scene", "Verdict", "explain", "judge"]


NOT_LOCKED = "installed, and not in the lock: it does not exist for this agent"


@dataclass(frozen=True)
class Scene:
    """What there is to judge."""

    entries: tuple[Entry, ...]
    distributions: Mapping[str, str]
    """Name to version."""
    tampered: Mapping[str, str] = field(default_factory=dict)
    """Plugins (by id) that the closed world refused, with the reason."""
    unlocked: tuple[Entry, ...] = ()
    """What is installed beside the lock."""
    known: str = "installed"
    """How a distribution is here: ``installed``, or ``in the lock``."""
    advice: str = ""


@dataclass(frozen=True)
class Verdict:
    """What is to be done with one rule, or with one entry point that no rule names."""

    name: str
    state: PluginState | None
    """None: it may be imported."""
    reason: str | None
    rule: Rule | None
    entry: Entry | None

    def report(self) -> PluginReport:
        """Return it as it is shown; what may be imported counts as loaded."""
        owner = self.entry.owner if self.entry else None
        expected = self.rule.distribution if self.rule else None
        return PluginReport(
            name=self.name,
            distribution=owner.distribution if owner else expected,
            version=owner.version if owner else None,
            state=self.state or "loaded",
            reason=self.reason,
        )


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and what is wrong with it, if anything."""

    what: str
    state: PluginState
    """The state of the plugin where it does not hold."""
    fault: str | None


def explain(rule: Rule, scene: Scene) -> tuple[Check, ...]:
    """Return every check on a rule, up to the first that fails."""
    own, strangers = claimants(rule, scene.entries)
    return tuple(checks(rule, own, strangers, scene))


def claimants(rule: Rule, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Return the entry points of a rule's name: its own distribution's, and strangers'."""
    named = sorted(
        (entry for entry in entries if entry.name == rule.name),
        key=lambda entry: (entry.owner.location, entry.value),
    )
    own = [entry for entry in named if entry.owner.distribution == rule.distribution]
    strangers = [entry for entry in named if entry.owner.distribution != rule.distribution]
    return own, strangers


def judge(allowlist: Allowlist, scene: Scene) -> tuple[Verdict, ...]:
    """Return a verdict for each rule and for each entry point without one, by name.

    The order of the scene's entries makes no difference.
    """
    taken = {rule.name for rule in allowlist.plugin}
    verdicts = [one for rule in allowlist.plugin for one in judge_rule(rule, scene)]
    verdicts += [
        Verdict(entry.name, "refused", not_listed(entry), None, entry)
        for entry in scene.entries
        if entry.name not in taken
    ]
    verdicts += [
        Verdict(entry.name, "refused", NOT_LOCKED, None, entry) for entry in scene.unlocked
    ]
    return tuple(sorted(verdicts, key=lambda one: (one.name, one.rule is None, str(one.entry))))


def judge_rule(rule: Rule, scene: Scene) -> list[Verdict]:
    """Return the verdict on a rule, and on strangers that offer its entry point."""
    own, strangers = claimants(rule, scene.entries)
    *_, last = checks(rule, own, strangers, scene)
    state = last.state if last.fault else None
    verdict = Verdict(rule.id, state, last.fault, rule, own[0] if own else None)
    impostor = f"the allowlist gives entry point {rule.name!r} to {rule.distribution}"
    return [
        verdict,
        *(Verdict(entry.name, "refused", impostor, None, entry) for entry in strangers),
    ]


def checks(
    rule: Rule,
    own: Sequence[Entry],
    strangers: Sequence[Entry],
    scene: Scene,
) -> Iterator[Check]:
    """Yield one check after the other; a failed one is the last."""
    off = None if rule.enabled else "switched off in the allowlist (enabled = false)"
    yield Check("switched on", "disabled", off)
    if off:
        return
    yield Check("files as locked", "tampered", scene.tampered.get(rule.id))
    if rule.id in scene.tampered:
        return
    claimed = contested(rule, own, strangers)
    yield Check("one owner of the entry point", "refused", claimed)
    if claimed:
        return
    if not own:
        state, reason = absent(rule, strangers, scene)
        yield Check("installed", state, reason)
        return
    yield Check("installed", "missing", None)
    doubt = shadowing(rule, own)
    yield Check("one metadata directory, with its own name", "shadowed", doubt)
    if doubt:
        return
    entry = own[0]
    outside = (
        f"version {entry.owner.version} is installed, the allowlist wants {rule.version}"
        if not rule.admits(entry.owner.version)
        else None
    )
    yield Check(f"version {rule.version or 'of any kind'}", "version", outside)
    if outside:
        return
    other = (
        f"its entry point is {entry.value!r}, the allowlist says {rule.value!r}"
        if entry.value != rule.value
        else None
    )
    yield Check(f"entry point {rule.value}", "refused", other)


def contested(rule: Rule, own: Sequence[Entry], strangers: Sequence[Entry]) -> str | None:
    """Return who else claims the entry point, or that its owner does so twice."""
    if own and strangers:
        owners = ", ".join(sorted({str(entry.owner) for entry in (*own, *strangers)}))
        return (
            f"several distributions claim entry point {rule.name!r}: {owners};"
            " neither is loaded, uninstall the one that should not"
        )
    locations = [entry.owner.location for entry in own]
    if len(locations) != len(set(locations)):
        return f"{own[0].owner} offers entry point {rule.name!r} more than once"
    return None


def shadowing(rule: Rule, own: Sequence[Entry]) -> str | None:
    """Return whether metadata is doubled, or lies about its name (rows 5 and 6)."""
    locations = sorted({entry.owner.location for entry in own})
    if len(locations) > 1:
        return (
            f"several metadata directories claim {rule.distribution}: {', '.join(locations)};"
            " keep one"
        )
    owner = own[0].owner
    if owner.claimed != owner.distribution:
        return (
            f"{owner.location} says that its name is {owner.claimed or 'nothing'};"
            f" reinstall {rule.distribution}"
        )
    return None


def absent(rule: Rule, strangers: Sequence[Entry], scene: Scene) -> tuple[PluginState, str]:
    """Return why the entry point of the rule's own distribution is not there."""
    if strangers:
        return "refused", (
            f"entry point {rule.name!r} is offered by {strangers[0].owner}, the allowlist gives it"
            f" to {rule.distribution}"
        )
    if rule.distribution in scene.distributions:
        version = scene.distributions[rule.distribution]
        return "missing", (
            f"{rule.distribution} {version} is {scene.known} and offers no entry point"
            f" {rule.name!r}"
        )
    return "missing", f"{rule.distribution} is not {scene.known}{scene.advice}"


def not_listed(entry: Entry) -> str:
    """Return the reason of an entry point that no rule names, and how to change that."""
    return (
        "not in the allowlist; to allow it add [[plugin]]"
        f' id = "{entry.name}" distribution = "{entry.owner.distribution}"'
        f' entry_point = ["emf_agent.plugins", "{entry.name}", "{entry.value}"]'
    )
