"""Actions on the firewall, against a firewalld that keeps two lists."""

from __future__ import annotations

from typing import Any

import pytest

from emf_agent.plugin import Action, ActionContext, ArgumentsError
from emf_plugins_host.dbus import DBusRefusedError
from emf_plugins_host.firewall.actions import add_firewall_port, remove_firewall_port
from tests.host.bus import FakeBus, Refusal, Reply
from tests.host.samples import call

pytestmark = pytest.mark.anyio

ROOT = "org.fedoraproject.FirewallD1"
BROKEN = f"{ROOT}.Exception"


class Firewall:
    """Two lists of open ports, one of which outlives a restart."""

    def __init__(self, bus: FakeBus, *, running: bool = True) -> None:
        self.runtime: set[tuple[str, str]] = set()
        self.permanent: set[tuple[str, str]] = set()
        bus.on("org.freedesktop.DBus", "NameHasOwner", lambda _: ("b", (running,)))
        bus.on(ROOT, "getDefaultZone", lambda: ("s", ("public",)))
        bus.on(f"{ROOT}.config", "getZoneByName", lambda name: ("o", (f"/zone/{name}",)))
        for interface, ports in (
            (f"{ROOT}.zone", self.runtime),
            (f"{ROOT}.config.zone", self.permanent),
        ):
            bus.on(interface, "queryPort", lambda *a, p=ports: ("b", (where(a) in p,)))
            bus.on(interface, "addPort", lambda *a, p=ports: self._add(p, where(a)))
            bus.on(interface, "removePort", lambda *a, p=ports: self._remove(p, where(a)))

    def _add(self, ports: set[tuple[str, str]], port: tuple[str, str]) -> Reply:
        if port in ports:
            raise Refusal(BROKEN, f"ALREADY_ENABLED: '{port[0]}:{port[1]}' already in 'public'")
        ports.add(port)
        return ("s", ("public",)) if ports is self.runtime else ("", ())

    def _remove(self, ports: set[tuple[str, str]], port: tuple[str, str]) -> Reply:
        if port not in ports:
            raise Refusal(BROKEN, f"NOT_ENABLED: '{port[0]}:{port[1]}' not in 'public'")
        ports.remove(port)
        return ("s", ("public",)) if ports is self.runtime else ("", ())


def where(values: tuple[Any, ...]) -> tuple[str, str]:
    """Return port and protocol, with or without a zone before them."""
    texts = [value for value in values if isinstance(value, str) and value != "public"]
    return texts[0], texts[1]


async def test_a_port_is_opened_now_and_for_good_and_twice_is_once(bus: FakeBus) -> None:
    firewall = Firewall(bus)

    assert await call(add_firewall_port, [40011, "udp"]) is None
    assert await call(add_firewall_port, [40011, "udp"]) is None
    assert firewall.runtime == firewall.permanent == {("40011", "udp")}


async def test_a_port_is_closed_now_and_for_good_and_twice_is_once(bus: FakeBus) -> None:
    firewall = Firewall(bus)
    await call(add_firewall_port, [988, "tcp"])

    assert await call(remove_firewall_port, [988, "tcp"]) is None
    assert await call(remove_firewall_port, [988, "tcp"]) is None
    assert firewall.runtime == firewall.permanent == set()


@pytest.mark.parametrize(
    ("scope", "runtime", "permanent"), [("runtime", 1, 0), ("permanent", 0, 1), ("both", 1, 1)]
)
async def test_the_scope_says_which_list(
    bus: FakeBus, scope: str, runtime: int, permanent: int
) -> None:
    firewall = Firewall(bus)
    await call(add_firewall_port, {"port": 1, "protocol": "tcp", "scope": scope})

    assert (len(firewall.runtime), len(firewall.permanent)) == (runtime, permanent)


@pytest.mark.parametrize(
    "action", [add_firewall_port, remove_firewall_port], ids=lambda one: one.name
)
async def test_a_node_whose_firewall_does_not_run_needs_nothing(
    bus: FakeBus, action: Action[..., Any]
) -> None:
    Firewall(bus, running=False)

    assert await call(action, [40011, "udp"]) is None
    assert {name for name, _ in bus.calls} == {"Hello", "NameHasOwner"}, "asking starts nothing"


async def test_a_dry_run_says_what_it_would_do_and_does_not(bus: FakeBus) -> None:
    firewall = Firewall(bus)
    dry = ActionContext(dry_run=True)

    assert (
        await call(add_firewall_port, [1, "tcp"], dry) == "would open 1/tcp in zone public (both)"
    )
    assert "would do nothing" in await call(remove_firewall_port, [1, "tcp"], dry)
    assert firewall.runtime == firewall.permanent == set()


async def test_another_error_of_firewalld_is_an_error(bus: FakeBus) -> None:
    Firewall(bus)

    def refuse(*_: Any) -> Reply:
        raise Refusal(BROKEN, "INVALID_ZONE: public")

    bus.on(f"{ROOT}.config.zone", "addPort", refuse)
    with pytest.raises(DBusRefusedError, match="INVALID_ZONE"):
        await call(add_firewall_port, [1, "tcp"])


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        ([70000, "udp"], "port"),
        ([-1, "udp"], "port"),
        ([40011], "invalid length 1"),
        ([40011, "icmp"], "protocol"),
        (["40011", "udp"], "port"),
        (5, "takes 3 arguments"),
    ],
    ids=repr,
)
def test_arguments_that_make_no_sense_are_refused(args: Any, fault: str) -> None:
    with pytest.raises(ArgumentsError, match=fault):
        add_firewall_port.bind(args)


def test_both_actions_exclude_each_other() -> None:
    assert add_firewall_port.locks == remove_firewall_port.locks == ("firewall",)
