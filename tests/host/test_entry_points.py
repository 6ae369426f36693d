"""What the bundle offers: every entry point loads, every action and daemon is well declared."""

from __future__ import annotations

import inspect
import re
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

import pytest

from emf_agent.plugin import ENTRY_POINT_GROUP, Action, Daemon
from emf_agent.plugin.daemon import payload_adapter

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OURS = [entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name.startswith("host.")]


def offered(hook: str) -> list[Any]:
    """Return what all entry points offer through a hook, with default settings."""
    found = []
    for entry in OURS:
        module = entry.load()
        function = getattr(module, hook, None)
        if function is not None:
            wants_settings = "settings" in inspect.signature(function).parameters
            found += function(module.emf_settings()()) if wants_settings else function()
    return found


def actions() -> list[Action[..., Any]]:
    return offered("emf_actions")


def daemons() -> list[Daemon]:
    return [factory() for factory in offered("emf_daemons")]


@pytest.mark.parametrize("action", actions(), ids=lambda one: one.name)
def test_an_action_is_well_declared(action: Action[..., Any]) -> None:
    assert action.faults() == ()
    assert re.fullmatch(r"[A-Z].*\.", action.summary), "one line of help, a sentence"
    assert action.args_schema()["type"] == "object"
    assert action.result_schema()


@pytest.mark.parametrize("daemon", daemons(), ids=lambda one: one.name)
def test_a_daemon_describes_its_payload(daemon: Daemon) -> None:
    assert payload_adapter(type(daemon)).json_schema(mode="serialization")


def test_no_name_is_offered_twice() -> None:
    names = [one.name for one in actions()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("role", ["base", "mgs", "mds", "oss", "client"])
def test_a_role_names_entry_points_of_this_bundle(role: str) -> None:
    text = files("emf_plugins_host").joinpath(f"roles/{role}.toml").read_text()
    table = tomllib.loads(text)

    assert table["role"] == role
    assert table["summary"]
    assert set(table["plugins"]) <= {entry.name for entry in OURS}
