"""What one imported plugin offers: its hooks are checked and called, all faults at once."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pluggy
from pydantic import BaseModel

from emf_agent.errors import ConfigurationError
from emf_agent.plugin import Action, Daemon, HookSpecs, NodeFacts
from emf_agent.plugin.hooks import PROJECT
from emf_agent.registry import RegisteredDaemon, RegisteredService, register_daemon
from emf_agent.settings import Settings, plugin_settings

__all__ = ["NotForThisNodeError", "Offer", "OfferError", "offer_of"]

NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", re.ASCII)
CORE_DAEMONS = frozenset({"action_runner", "agent"})
AWAITED = (
    "start_session",
    "update_session",
    "watch_session",
    "receive",
    "delivered",
    "stop_session",
)


@dataclass
class Offer:
    """What a plugin registers, checked one by one."""

    actions: list[Action[..., Any]] = field(default_factory=list)
    daemons: list[RegisteredDaemon] = field(default_factory=list)
    services: list[RegisteredService] = field(default_factory=list)
    started_observers: list[Callable[..., None]] = field(default_factory=list)
    finished_observers: list[Callable[..., None]] = field(default_factory=list)

    def action_names(self) -> tuple[str, ...]:
        """Return the names of the actions, sorted."""
        return tuple(sorted(one.name for one in self.actions))

    def daemon_names(self) -> tuple[str, ...]:
        """Return the names of the daemons, sorted."""
        return tuple(sorted(one.name for one in self.daemons))


class OfferError(Exception):
    """The plugin registers something wrong; every fault of it."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class NotForThisNodeError(Exception):
    """The plugin says that it has no place here."""


def offer_of(plugin: Any, name: str, settings: Settings, node: NodeFacts) -> Offer:
    """Return what a plugin offers; each of its hooks is called once.

    Raises:
        OfferError: the registration is wrong.
        NotForThisNodeError: with the plugin's reason.
        ConfigurationError: its own table in the configuration is wrong.

    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    faults = hook_faults(manager, plugin)
    if faults:
        raise OfferError(faults)
    manager.register(plugin, name)
    manager.check_pending()
    hooks = manager.hook
    reason = first(hooks.emf_applicable(node=node))
    if reason is not None:
        raise NotForThisNodeError(str(reason) or "the plugin gives no reason")
    table = settings_table(first(hooks.emf_settings()), name, settings)
    collector = Collector(name, settings)
    collector.actions(first(hooks.emf_actions(settings=table)))
    collector.daemons(first(hooks.emf_daemons(settings=table)))
    collector.services(first(hooks.emf_metrics(settings=table)))
    if collector.faults:
        raise OfferError(collector.faults)
    offer = collector.offer
    offer.started_observers = observers(hooks.emf_action_started, "notice")
    offer.finished_observers = observers(hooks.emf_action_finished, "finished")
    return offer


def hook_faults(manager: pluggy.PluginManager, plugin: Any) -> list[str]:
    """Return every hook that is unknown, wrongly made, or not marked; and where none is there."""
    specified = {name for name in dir(HookSpecs) if name.startswith("emf_")}
    found, implemented = [], 0
    for name in sorted(dir(plugin)):
        if name.startswith("__"):
            continue
        marked = manager.parse_hookimpl_opts(plugin, name)
        if marked is None:
            if name in specified and inspect.isroutine(getattr(plugin, name)):
                found.append(f"{name} is not marked @hookimpl")
            continue
        implemented += 1
        called = marked.get("specname") or name
        if called not in specified:
            found.append(f"there is no hook {called!r}; known are {', '.join(sorted(specified))}")
            continue
        given = set(inspect.signature(getattr(HookSpecs, called)).parameters) - {"self"}
        wanted = inspect.signature(getattr(plugin, name)).parameters
        found += [
            f"{name} asks for argument {one!r}; the hook gives {', '.join(sorted(given)) or 'none'}"
            for one, parameter in wanted.items()
            if one not in given and parameter.default is inspect.Parameter.empty
        ]
        if inspect.iscoroutinefunction(getattr(plugin, name)):
            found.append(f"{name} is async; hooks register things and are plain functions")
        if marked["wrapper"] or marked["hookwrapper"]:
            found.append(f"{name} is a wrapper; a plugin registers for itself only")
    if not implemented:
        found.append("implements no hook; mark functions with emf_agent.plugin.hookimpl")
    return found


def first(results: Sequence[Any]) -> Any:
    """Return the one plugin's result; pluggy leaves out ``None``."""
    return results[0] if results else None


def observers(caller: Any, argument: str) -> list[Callable[..., None]]:
    """Return a hook's implementations as plain calls with one value."""
    if not caller.get_hookimpls():
        return []

    def observe(value: Any) -> None:
        caller(**{argument: value})

    return [observe]


def settings_table(model: Any, name: str, settings: Settings) -> BaseModel | None:
    """Return the plugin's own settings; None where it has no model."""
    if model is None:
        if settings.plugin.get(name):
            origin = settings.origin(f"plugin.{name}")
            raise ConfigurationError([f"{origin}: plugin.{name}: this plugin has no settings"])
        return None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise OfferError([f"emf_settings returned {model!r}, not a pydantic model class"])
    needed = [key for key, one in model.model_fields.items() if one.is_required()]
    if needed:
        raise OfferError([f"settings {', '.join(needed)} have no default; a node may set nothing"])
    return plugin_settings(settings, name, model)


class Collector:
    """Takes what hooks returned, and keeps what is right and every fault of the rest."""

    def __init__(self, plugin: str, settings: Settings) -> None:
        self._plugin = plugin
        self._settings = settings
        self.offer = Offer()
        self.faults: list[str] = []

    def actions(self, returned: Any) -> None:
        """Take the actions."""
        for one in self._items("emf_actions", returned):
            if not isinstance(one, Action):
                shown = getattr(one, "__name__", repr(one))
                self.faults.append(f"emf_actions: {shown} is no action; decorate it with @action")
                continue
            try:
                wrong = list(one.faults())
            except Exception as error:  # noqa: BLE001 - a plugin's annotations may run anything
                wrong = [f"cannot be described: {type(error).__name__}: {error}"]
            wrong += self._name_faults(one.name, self.offer.action_names(), reserved=frozenset())
            if wrong:
                self.faults += [f"action {one.name} {fault}" for fault in wrong]
            else:
                self.offer.actions.append(one)

    def daemons(self, returned: Any) -> None:
        """Take the daemons; one instance of each is made to be looked at."""
        for factory in self._items("emf_daemons", returned):
            if isinstance(factory, Daemon):
                self.faults.append(
                    f"emf_daemons: {factory!r} is an instance; return its class or a factory"
                )
                continue
            try:
                self._daemon(factory)
            except Exception as error:  # noqa: BLE001 - a plugin's constructor may raise anything
                self.faults.append(f"emf_daemons: {factory!r}: {type(error).__name__}: {error}")

    def _daemon(self, factory: Any) -> None:
        if not callable(factory):
            self.faults.append(f"emf_daemons: {factory!r} is neither class nor factory")
            return
        made = factory()
        if not isinstance(made, Daemon):
            self.faults.append(f"emf_daemons: {factory!r} makes no Daemon")
            return
        name = getattr(made, "name", None)
        if not isinstance(name, str):
            self.faults.append(f"emf_daemons: {type(made).__qualname__} has no name")
            return
        wrong = self._name_faults(name, self.offer.daemon_names(), reserved=CORE_DAEMONS)
        for key in ("interval_s", "deadline_s", "start_deadline_s"):
            value = getattr(made, key)
            if not isinstance(value, (int, float)) or not 0 < value < math.inf:
                wrong.append(f"has {key} = {value!r}; it must be more than 0 seconds")
        if made.delivery not in ("latest", "every"):
            wrong.append(f"has delivery = {made.delivery!r}; it must be 'latest' or 'every'")
        wrong += [
            f"has a {method} that is not async"
            for method in AWAITED
            if not inspect.iscoroutinefunction(getattr(made, method))
        ]
        if wrong:
            self.faults += [f"daemon {name} {fault}" for fault in wrong]
            return
        registered = register_daemon(self._plugin, factory, **self._settings.pace(name))
        registered.schema()
        self.offer.daemons.append(registered)

    def services(self, returned: Any) -> None:
        """Take the services."""
        for one in self._items("emf_metrics", returned):
            if callable(one):
                self.offer.services.append(RegisteredService(self._plugin, one))
            else:
                self.faults.append(f"emf_metrics: {one!r} is not callable")

    def _items(self, hook: str, returned: Any) -> Iterable[Any]:
        if returned is None:
            return ()
        if isinstance(returned, (str, bytes)) or not isinstance(returned, Iterable):
            self.faults.append(f"{hook} returned {type(returned).__name__}, not a list")
            return ()
        return list(returned)

    def _name_faults(
        self, name: Any, taken: Sequence[str], *, reserved: frozenset[str]
    ) -> list[str]:
        if not isinstance(name, str) or not NAME.match(name):
            return ["has a name that is not letters, digits, '_', '-' and '.'"]
        if name in reserved:
            return ["has a name that belongs to the agent itself"]
        if name in taken:
            return ["is registered twice"]
        return []
