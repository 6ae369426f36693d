"""Runs inside the sandbox: one process that calls actions and daemons as told, a line at a time.

Started as ``python -m tests.host.sandbox.inside BACKEND``; reads JSON orders from standard input.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from emf_agent.plugin import ENTRY_POINT_GROUP, Action, ActionContext, Daemon, DaemonContext
from emf_agent.plugin.daemon import payload_adapter
from emf_plugins_host.devices.daemon import Device, DevicesSettings, Scanner

__all__ = ["main"]

STATE = Path("/var/lib/emf-test")


def offered(hook: str) -> list[Any]:
    """Return what the bundle's entry points offer."""
    found = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        module = entry.load() if entry.name.startswith("host.") else None
        function = getattr(module, hook, None)
        if module is not None and function is not None:
            wants = "settings" in inspect.signature(function).parameters
            found += function(module.emf_settings()()) if wants else function()
    return found


class Inside:
    """Carries out orders."""

    def __init__(self) -> None:
        self.actions: dict[str, Action[..., Any]] = {
            one.name: one for one in offered("emf_actions")
        }
        self.daemons = {factory().name: factory for factory in offered("emf_daemons")}

    async def action(
        self, name: str, args: Any, *, dry_run: bool, timeout_s: float, cancel_after_s: float | None
    ) -> Any:
        """Run an action; its answer, and the messages of its progress."""
        action = self.actions[name]
        progress: list[str | None] = []
        context = ActionContext(
            dry_run=dry_run,
            deadline=anyio.current_time() + timeout_s,
            report=lambda one: progress.append(one.message),
        )
        answer: dict[str, Any] = {"Cancelled": None}
        with anyio.move_on_after(cancel_after_s):
            try:
                arguments = action.with_context(action.bind(args), context)
                if action.is_async:
                    value = await action.function(**arguments)
                else:
                    value = await anyio.to_thread.run_sync(lambda: action.function(**arguments))
                answer = {"Ok": action.encode(value)}
            except Exception as error:  # noqa: BLE001 - what the agent does, too
                answer = {"Err": str(error), "kind": type(error).__name__}
        return {**answer, "progress": progress}

    async def daemon(
        self, name: str, *, wanted: int, during: list[list[str]], session: str, include_loop: bool
    ) -> Any:
        """Run one session with its watch until it gave so many values; programs run meanwhile."""
        daemon: Daemon = self.daemons[name]()
        if include_loop:
            daemon = Device(Scanner(DevicesSettings(include_loop=True)))
        adapter = payload_adapter(type(daemon))
        wake = anyio.Event()

        def ring() -> None:
            wake.set()

        daemon.context = DaemonContext(state_directory=STATE / session, wake=ring)
        values: list[Any] = []

        async def keep(payload: Any) -> None:
            if payload is not None:
                values.append(adapter.dump_python(payload, mode="json", warnings="error"))
                await daemon.delivered(payload)

        with anyio.fail_after(60):
            await keep(await daemon.start_session())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(daemon.watch_session)
                for argv in during:
                    run = partial(subprocess.run, argv, check=True)
                    await anyio.to_thread.run_sync(run)
                while len(values) < wanted:
                    with anyio.move_on_after(daemon.interval_s):
                        await wake.wait()
                    wake = anyio.Event()
                    await keep(await daemon.update_session())
                tasks.cancel_scope.cancel()
            await daemon.stop_session()
        return values

    async def obey(self, order: dict[str, Any]) -> Any:
        """Carry out an order."""
        kind = order.pop("order")
        return await getattr(self, kind)(**order)


async def main() -> None:
    """Read orders until there are no more."""
    inside = Inside()
    print("ready", flush=True)
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        try:
            answer = {"answer": await inside.obey(json.loads(line))}
        except Exception as error:  # noqa: BLE001 - told to the test, which fails
            answer = {"trouble": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
