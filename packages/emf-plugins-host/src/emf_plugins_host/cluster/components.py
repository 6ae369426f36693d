"""Actions that ask how the cluster stack is set up: corosync, pacemaker, pcs, and fencing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import anyio
from typing_extensions import TypedDict

from emf_agent.command import CommandFailedError, run
from emf_agent.errors import ActionError
from emf_agent.plugin import action
from emf_plugins_host.cluster import pacemaker
from emf_plugins_host.cluster.resources import ResourceInfo
from emf_plugins_host.cluster.stonith import OWN_AGENT, judge
from emf_plugins_host.dbus import system_bus
from emf_plugins_host.units.run_state import RunState
from emf_plugins_host.units.systemd import Systemd

__all__ = ["ComponentState", "action_check_ha", "action_check_stonith", "get_ha_resource_list"]

TIMEOUT_S = 120
COROSYNC_CONF = Path("/etc/corosync/corosync.conf")
CIB = Path("/var/lib/pacemaker/cib/cib.xml")
PCS_TOKENS = Path("/var/lib/pcsd/tokens")
MULTICAST = ("226.94.0.1", "226.94.1.1")
"""The two addresses that the manager gives to corosync's rings."""
RINGS = ("totem.interface.0.mcastaddr", "totem.interface.1.mcastaddr")
STONITH = "//primitive[@class='stonith']"
NO_SUCH_KEY = 1
"""corosync-cmapctl's status for keys that are not set, silently; and for any trouble, aloud."""
CONCURRENT = 8

ConfigState = Literal["Unknown", "Default", "IML", "Other"]


class Configured(TypedDict):
    """The service is there, in this run state."""

    Configured: RunState


class ElementState(TypedDict):
    """A part of a component; none is ever told."""

    name: str
    configurable: bool


class ComponentState(TypedDict):
    """How a component of the stack is set up."""

    service: Literal["Unconfigured"] | Configured
    config: ConfigState
    elements: list[ElementState]
    info: str
    state: bool


def component(
    service: Literal["Unconfigured"] | Configured = "Unconfigured",
    config: ConfigState = "Unknown",
    *,
    info: str = "",
    state: bool = False,
) -> ComponentState:
    """Return a component's state."""
    return {"service": service, "config": config, "elements": [], "info": info, "state": state}


@action(timeout_s=TIMEOUT_S, idempotent=True, read_only=True)
async def action_check_ha() -> list[ComponentState]:
    """Return how corosync, pacemaker and pcs, in this order, are set up on this node."""
    return await together([check_corosync, check_pacemaker, check_pcs])


async def together(
    questions: list[Callable[[], Awaitable[ComponentState]]],
) -> list[ComponentState]:
    """Ask all at once, and return the answers in order; the first error is the answer of all."""
    answers: dict[int, ComponentState] = {}
    trouble: list[ActionError] = []

    async def ask(position: int, question: Callable[[], Awaitable[ComponentState]]) -> None:
        try:
            answers[position] = await question()
        except ActionError as error:
            trouble.append(error)

    async with anyio.create_task_group() as tasks:
        for position, question in enumerate(questions):
            tasks.start_soon(ask, position, question)
    if trouble:
        raise trouble[0]
    return [answers[position] for position in sorted(answers)]


async def check_corosync() -> ComponentState:
    """Return corosync's state."""
    if not await anyio.Path(COROSYNC_CONF).is_file():
        return component()
    said = await run(["corosync-cmapctl", *RINGS], ok_codes=(0, NO_SUCH_KEY))
    if said.returncode == NO_SUCH_KEY and said.stderr.size_bytes:
        raise CommandFailedError(said)
    expected = [f"{ring} (str) = {address}" for ring, address in zip(RINGS, MULTICAST, strict=True)]
    is_ours = sorted(said.stdout.lines()) == expected
    return component(await service("corosync.service"), "IML" if is_ours else "Unknown")


async def check_pacemaker() -> ComponentState:
    """Return pacemaker's state."""
    if not await anyio.Path(CIB).is_file():
        return component()
    resources = await resource_list()
    config: ConfigState = "Unknown"
    if not resources:
        config = "Default"
    elif any(one.id == "st-fencing" and one.agent.ocftype == OWN_AGENT for one in resources):
        config = "IML"
    return component(await service("pacemaker.service"), config)


async def check_pcs() -> ComponentState:
    """Return the state of pcs."""
    if not await anyio.Path(PCS_TOKENS).is_file():
        return component()
    return component(await service("pcsd.service"), "IML")


async def service(unit: str) -> Literal["Unconfigured"] | Configured:
    """Return a service's run state; one that cannot be asked for is not configured."""
    try:
        async with system_bus() as bus:
            return {"Configured": (await Systemd(bus).status(unit)).run_state}
    except ActionError:
        return "Unconfigured"


@action(timeout_s=TIMEOUT_S, idempotent=True, read_only=True)
async def action_check_stonith() -> ComponentState:
    """Tell whether the cluster could fence this node, by which agent, or why not."""
    try:
        agents = await run(["cibadmin", "--query", "--xpath", STONITH])
    except CommandFailedError:
        return component(info="No pacemaker")
    node = (await run(["crm_node", "-n"])).stdout.text.strip()
    verdict = judge(agents.stdout.text, node)
    return component(
        {"Configured": "Setup"}, verdict.config, info=verdict.info, state=verdict.works
    )


@action(timeout_s=TIMEOUT_S, idempotent=True, read_only=True)
async def get_ha_resource_list() -> list[ResourceInfo]:
    """Return the cluster's resources with agent, arguments and operations; none without cluster."""
    return await resource_list()


async def resource_list() -> list[ResourceInfo]:
    """Return all resources, asked for a few at a time; one that fails fails all."""
    names = [name.partition(":")[0] for name in await pacemaker.resource_ids()]
    limiter = anyio.CapacityLimiter(CONCURRENT)
    found: dict[str, ResourceInfo] = {}
    trouble: list[ActionError] = []

    async def ask(name: str) -> None:
        try:
            async with limiter:
                found[name] = await pacemaker.resource(name)
        except ActionError as error:
            trouble.append(error)

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(ask, name)
    if trouble:
        raise trouble[0]
    return [found[name] for name in names]
