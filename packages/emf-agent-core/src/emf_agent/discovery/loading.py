"""Loads what the verdicts let in, and makes the registry; a plugin that fails costs only itself."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any, Literal

from emf_agent.allowlist import Allowlist, parse_allowlist
from emf_agent.discovery.installed import (
    Entry,
    Owner,
    entries_of,
    installed_entries,
    installed_owners,
)
from emf_agent.discovery.judgement import Scene, Verdict, judge
from emf_agent.discovery.offer import NotForThisNodeError, Offer, OfferError, offer_of
from emf_agent.errors import ConfigurationError
from emf_agent.gate.ownership import read_trusted, trusted_owners
from emf_agent.gate.refusal import GateError
from emf_agent.gate.world import closed_world
from emf_agent.plugin import ENTRY_POINT_GROUP, NodeFacts
from emf_agent.registry import RegisteredAction, Registry
from emf_agent.settings import Settings
from emf_agent.wire import PluginReport

__all__ = [
    "discover",
    "load_plugins",
    "look_around",
    "metadata_path",
    "read_allowlist",
    "running_mode",
    "stray_tables",
    "survey",
]

logger = logging.getLogger(__name__)

ALLOWLIST_BYTES = 1024 * 1024
POLICY = "plugin-policy"
"""Stands in the list of plugins in safe mode."""
WRONG_START = {
    True: 'mode is "enforce", and this process was not started through the boot archive: start it'
    ' by the shipped unit, or set mode = "allowlist" for development',
    False: 'mode is not "enforce", and the shipped unit runs nothing else: set mode = "enforce"',
}


@dataclass(frozen=True)
class Candidate:
    """One verdict, and the offer of a plugin that was loaded."""

    verdict: Verdict
    report: PluginReport
    offer: Offer | None = None


def read_allowlist(path: Path) -> Allowlist:
    """Read the policy; only where root or the running user alone could have written it.

    Raises:
        ConfigurationError: it is missing, not to be trusted, or wrong.

    """
    try:
        text = read_trusted(path, trusted_owners(), limit_bytes=ALLOWLIST_BYTES)
    except GateError as error:
        raise ConfigurationError(
            [
                f"{one.subject}: {one.found}; "
                + ("write it with `emf-agent init`" if one.code == "missing" else one.advice)
                for one in error.refusals
            ]
        ) from error
    return parse_allowlist(text, str(path))


def metadata_path() -> list[str] | None:
    """Return the folders to look for installed metadata in; None stands for ``sys.path``."""
    world = closed_world()
    return None if world is None else world.sites()


def look_around(path: Sequence[str] | None = None) -> Scene:
    """Return what there is to judge, from metadata or, in the closed world, from the lock.

    ``path`` holds folders to look in, whatever the lock says; ``sys.path`` where it is left out.
    """
    world = closed_world()
    if world is None or path is not None:
        # One look for both: reading the metadata of everything installed is what takes the time.
        installed = installed_owners(path)
        versions = {owner.distribution: owner.version for owner, _ in installed}
        return Scene(entries_of(installed), versions)
    locked = world.lock.distributions.values()
    places = {f"{one.site}/{one.dist_info}" for one in locked}
    return Scene(
        entries=tuple(
            Entry(name, value, Owner(one.name, one.name, one.version, one.path(one.dist_info)))
            for one in locked
            for group, name, value in one.entry_points
            if group == ENTRY_POINT_GROUP
        ),
        distributions={one.name: one.version for one in locked},
        tampered=world.plugins,
        unlocked=tuple(
            entry
            for entry in installed_entries(world.sites())
            if entry.owner.location not in places and entry.owner.distribution not in world.refused
        ),
        known="in the lock",
        advice="; run `emf-agent plugin lock`",
    )


def survey(allowlist: Allowlist, path: Sequence[str] | None = None) -> tuple[PluginReport, ...]:
    """Return what would be loaded and what not: nothing is imported."""
    return tuple(one.report() for one in judge(allowlist, look_around(path)))


def running_mode() -> Literal["enforce", "allowlist", "safe"]:
    """Return how plugins are gated in this process; ``safe``: none may be loaded."""
    world = closed_world()
    if world is None:
        return "allowlist"
    return "enforce" if world.safe_mode is None else "safe"


def load_plugins(
    settings: Settings, node: NodeFacts, *, path: Sequence[str] | None = None
) -> Registry:
    """Return the registry of the agent; every refusal is logged with its reason.

    In safe mode, where the closed world holds and its policy or lock cannot be trusted, the
    registry has no plugin and the reason.

    Raises:
        ConfigurationError: the allowlist is not to be trusted or wrong, the process was not started
            in its mode, a required plugin is not loaded, or a plugin's own table is wrong.

    """
    world = closed_world()
    if world is not None and world.safe_mode is not None:
        return safe_mode(world.safe_mode)
    try:
        allowlist = read_allowlist(settings.paths.allowlist)
    except ConfigurationError as error:
        if world is None:
            raise
        return safe_mode("; ".join(error.faults))
    if allowlist.enforced != (world is not None):
        raise ConfigurationError([f"{settings.paths.allowlist}: {WRONG_START[allowlist.enforced]}"])
    registry = discover(settings, allowlist, node, path=path)
    required = {rule.id for rule in allowlist.plugin if rule.required}
    faults = []
    for report in registry.plugins:
        if report.state == "loaded" and report.reason is None:
            logger.info(
                "plugin loaded name=%s distribution=%s version=%s",
                report.name,
                report.distribution,
                report.version,
            )
            continue
        listed = allowlist.rule(report.name) is not None
        level = logging.WARNING if listed and report.state != "disabled" else logging.INFO
        logger.log(level, "plugin %s name=%s reason=%s", report.state, report.name, report.reason)
        if report.name in required and report.state != "loaded" and is_ruled(report, allowlist):
            faults.append(f"required plugin {report.name} is {report.state}: {report.reason}")
    if faults:
        raise ConfigurationError(faults)
    return registry


def safe_mode(reason: str) -> Registry:
    """Return a registry without plugins, which says why; the agent stays reachable."""
    logger.error("safe mode, no plugin is loaded: %s", reason)
    return Registry(
        plugins=(
            PluginReport(
                name=POLICY, distribution=None, version=None, state="refused", reason=reason
            ),
        )
    )


def is_ruled(report: PluginReport, allowlist: Allowlist) -> bool:
    """Tell whether a report is about a rule's own distribution, not about an impostor."""
    rule = allowlist.rule(report.name)
    return rule is not None and report.distribution in (None, rule.distribution)


def discover(
    settings: Settings,
    allowlist: Allowlist,
    node: NodeFacts,
    *,
    path: Sequence[str] | None = None,
) -> Registry:
    """Import what may be imported and return everything as one value.

    ``path`` is where metadata is looked for (default ``sys.path``). Exceptions of a plugin,
    ``SystemExit`` among them, make it ``failed``.

    Raises:
        ConfigurationError: tables ``[plugin."NAME"]`` that are wrong, all faults at once.

    """
    faults = stray_tables(settings, allowlist)
    candidates = []
    for verdict in judge(allowlist, look_around(path)):
        if verdict.state is not None or verdict.rule is None:
            candidates.append(Candidate(verdict, verdict.report()))
            continue
        try:
            candidates.append(load(verdict, settings, node))
        except ConfigurationError as error:
            faults.extend(error.faults)
    if faults:
        raise ConfigurationError(faults)
    return registry_of(candidates)


def stray_tables(settings: Settings, allowlist: Allowlist) -> list[str]:
    """Return what is wrong with the tables of plugins that the allowlist does not know."""
    known = sorted(rule.id for rule in allowlist.plugin)
    return [
        f"{settings.origin(f'plugin.{name}')}: plugin.{name}: the allowlist has no plugin of this"
        f" id; {meant(name, table, known)}"
        for name, table in settings.plugin.items()
        if name not in known
    ]


def meant(name: str, table: Iterable[str], known: Sequence[str]) -> str:
    """Say which plugin may have been meant; an id with a dot is easily left without quotes."""
    for guess in (*(f"{name}.{key}" for key in table), name):
        for near in get_close_matches(guess, known, n=1):
            return f'did you mean [plugin."{near}"]?'
    return f"it has {', '.join(known) or 'none'}"


def load(verdict: Verdict, settings: Settings, node: NodeFacts) -> Candidate:
    """Import one plugin and ask what it offers."""
    report, rule = verdict.report(), verdict.rule
    assert rule is not None
    try:
        offer = offer_of(imported(rule.value), rule.id, settings, node)
    except NotForThisNodeError as error:
        return Candidate(verdict, told(report, "not-applicable", str(error)))
    except OfferError as error:
        return Candidate(verdict, told(report, "failed", f"{rule.value}: {error}"))
    except ConfigurationError:
        raise
    except BaseException as error:
        # The reason is told with the plugin's state; the traceback is for its author.
        logger.debug("plugin %s failed to load", rule.id, exc_info=error)
        return Candidate(verdict, told(report, "failed", failure(rule.value, error)))
    above = rule.unclaimable(offer.action_names(), offer.daemon_names())
    if above:
        reason = f"claims {', '.join(above)}, which its rule in the allowlist does not admit"
        return Candidate(verdict, told(report, "refused", reason))
    return Candidate(verdict, report, offer)


def imported(value: str) -> Any:
    """Return the object that an entry point's value names."""
    module, _, attributes = value.partition(":")
    names = attributes.split(".") if attributes else []
    return reduce(getattr, names, importlib.import_module(module))


def told(report: PluginReport, state: str, reason: str) -> PluginReport:
    """Return a report with another state."""
    return PluginReport.model_validate({**report.model_dump(), "state": state, "reason": reason})


def failure(value: str, error: BaseException) -> str:
    """Say what a plugin raised, and where in it."""
    trace = error.__traceback__
    where = value
    while trace is not None:
        code = trace.tb_frame.f_code
        if "importlib" not in code.co_filename and not code.co_filename.startswith("<"):
            where = f"{code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    text = " ".join(str(error).split())[:500]
    return f"{where}: {type(error).__name__}{f': {text}' if text else ''}"


def registry_of(candidates: Sequence[Candidate]) -> Registry:
    """Return the registry; a name that two plugins claim goes to neither of them."""
    offers = [(one, one.offer) for one in candidates if one.offer is not None]
    action_owners = owners((one.verdict.name, offer.action_names()) for one, offer in offers)
    daemon_owners = owners((one.verdict.name, offer.daemon_names()) for one, offer in offers)
    return Registry(
        plugins=tuple(
            settled(one.report, one.offer, action_owners, daemon_owners) for one in candidates
        ),
        actions={
            action.name: RegisteredAction(one.verdict.name, action)
            for one, offer in offers
            for action in offer.actions
            if len(action_owners[action.name]) == 1
        },
        daemons={
            daemon.name: daemon
            for _, offer in offers
            for daemon in offer.daemons
            if len(daemon_owners[daemon.name]) == 1
        },
        services=tuple(service for _, offer in offers for service in offer.services),
        started_observers=tuple(it for _, offer in offers for it in offer.started_observers),
        finished_observers=tuple(it for _, offer in offers for it in offer.finished_observers),
    )


def owners(claims: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, list[str]]:
    """Return who claims each name."""
    found: dict[str, list[str]] = {}
    for plugin, names in claims:
        for name in names:
            found.setdefault(name, []).append(plugin)
    return found


def settled(
    report: PluginReport,
    offer: Offer | None,
    action_owners: Mapping[str, list[str]],
    daemon_owners: Mapping[str, list[str]],
) -> PluginReport:
    """Return a report with the names the plugin holds, and those it lost to a conflict."""
    if offer is None:
        return report
    lost = [
        f"{kind} {name} is claimed by {' and '.join(sorted(claimed[name]))}: neither has it"
        for kind, names, claimed in (
            ("action", offer.action_names(), action_owners),
            ("daemon", offer.daemon_names(), daemon_owners),
        )
        for name in names
        if len(claimed[name]) > 1
    ]
    return report.model_copy(
        update={
            "reason": "; ".join(lost) or None,
            "actions": tuple(n for n in offer.action_names() if len(action_owners[n]) == 1),
            "daemons": tuple(n for n in offer.daemon_names() if len(daemon_owners[n]) == 1),
        }
    )
