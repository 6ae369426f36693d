"""The light plugin of a simulated node: actions that end as told, values that move plausibly.

Nothing is read from this machine: a value is a function of the node's name and the time, so that a
hundred nodes differ, a restarted one goes on where it was, and an update costs microseconds.
"""

from __future__ import annotations

import hashlib
import math
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

import anyio
from pydantic import BaseModel

from emf_agent.errors import ActionError
from emf_agent.plugin import Action, ActionContext, Counter, Daemon, Gauge, action
from emf_agent.registry import RegisteredAction, Registry, register_daemon
from emf_agent.wire import PluginReport

__all__ = ["light_registry", "standing_on"]

standing_on: ContextVar[str] = ContextVar("emf_agent.testing.fleet.standing_on")
"""The name of the node whose agent this task belongs to; a node sets it when it lives."""

PLUGIN = "simulated"
DAY_S = 86_400.0
COUNTED_S = 30 * DAY_S
"""Counters start anew after so long, as those of a node that boots."""


class Load(BaseModel):
    """How busy a node is."""

    cpu_percent: Annotated[float, Gauge("percent")]
    memory_percent: Annotated[float, Gauge("percent")]
    read_bytes: Annotated[int, Counter("bytes")]
    written_bytes: Annotated[int, Counter("bytes")]


class ActionFailedError(ActionError):
    """An action that was told to fail."""


@action(timeout_s=60, idempotent=True)
async def echo(text: str) -> str:
    """Return what it was given."""
    return text


@action(timeout_s=3600)
async def wait(seconds: float, ctx: ActionContext) -> str:
    """Wait, and tell how far it is; for an action that is killed half-way."""
    steps = 10
    for step in range(steps):
        ctx.progress(step / steps, f"{step} of {steps}")
        await anyio.sleep(seconds / steps)
    return "waited"


@action(timeout_s=3600)
async def wait_for_file(file: Path) -> str:
    """Wait until a file is on this machine: a test ends the action on every node at once."""
    while not await anyio.Path(file).exists():  # noqa: ASYNC110 - other processes make it
        await anyio.sleep(0.5)
    return "it is there"


@action(timeout_s=60)
async def fail(why: str, percent: float = 100.0) -> str:
    """Fail on so many of the nodes: always on the same ones."""
    if share_of(standing_on.get(), "fail") * 100 < percent:
        raise ActionFailedError(why)
    return "did not fail"


class LoadDaemon(Daemon):
    """How busy the node is; the values rise and fall with the day, each node's in its own way."""

    name = "load"

    async def update_session(self) -> Load:
        """Return the load of this moment."""
        return load_of(standing_on.get(), time.time())


def load_of(name: str, now: float) -> Load:
    """Return what a node of this name measures at a moment."""
    own = share_of(name, "load")
    wave = math.sin((now / DAY_S + own) * 2 * math.pi)
    period_s = 60 + 60 * own
    ripple = math.sin(now / period_s)
    counting_s = now % COUNTED_S
    # The rate is never negative, so that a counter only falls when it starts anew.
    moved = (1 + own) * 50e6 * (counting_s - 0.5 * period_s * math.cos(counting_s / period_s))
    return Load(
        cpu_percent=round(40 + 25 * wave + 10 * ripple * own, 1),
        memory_percent=round(55 + 30 * own + 5 * wave, 1),
        read_bytes=max(0, int(moved)),
        written_bytes=max(0, int(moved * own)),
    )


def share_of(name: str, what: str) -> float:
    """Return a number from 0 to 1 that belongs to a name for good."""
    digest = hashlib.sha256(f"{what}:{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def light_registry(interval_s: float = 10.0) -> Registry:
    """Return what a light node offers; one value serves every node of a fleet."""
    actions: list[Action[..., Any]] = [echo, wait, wait_for_file, fail]
    daemon = register_daemon(PLUGIN, LoadDaemon, interval_s=interval_s)
    return Registry(
        plugins=(
            PluginReport(
                name=PLUGIN,
                distribution="emf-agent-core",
                version=None,
                state="loaded",
                reason=None,
                actions=tuple(sorted(one.name for one in actions)),
                daemons=(daemon.name,),
            ),
        ),
        actions={one.name: RegisteredAction(PLUGIN, one) for one in actions},
        daemons={daemon.name: daemon},
    )
