"""What the agent costs: memory, idle CPU, start-up, and an action's way there and back.

Run as ``hatch run bench:agent`` or ``python benchmarks/agent.py [--json FILE] [--quick]``. A real
manager and a real agent run in throw-away folders on loopback; everything is asked through the
API. What is compared is measured in the same run, alternating: an action beside a bare spawn, our
imports beside those of the libraries. Ratios carry over to other machines, absolute figures do
not. It asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent_bench.plugin import install
from agent_bench.process import (
    Cost,
    Memory,
    cpu_s,
    import_costs,
    machine,
    machine_busy_s,
    percentile,
)
from agent_bench.programs import (
    Agent,
    Manager,
    Operator,
    a_manager,
    an_operator,
    enrolled_agent,
)

IMPORTS = ("pydantic", "httpx", "emf_agent.cli", "emf_agent.cli.run", "emf_manager.cli")
COMMANDS = (
    ("emf", "--help"),
    ("emf-agent", "--help"),
    ("emf-manager", "--help"),
    ("emf-agent", "plugin", "list"),
)
LEAST_SESSIONS = 6
"""Those of the core and at least four daemons of the host bundle."""
IN_FLIGHT = 16
AT_ONCE = 100


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    starts: int = 5
    settle_s: float = 15.0
    idle_s: float = 60.0
    trips: int = 300
    burst: int = 800
    imports: int = 7


QUICK = Extent(starts=2, settle_s=5.0, idle_s=10.0, trips=50, burst=160, imports=3)


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def milliseconds(times: list[float]) -> dict[str, float]:
    """Return median and tail of times given in seconds."""
    return {
        "p50_ms": round(statistics.median(times) * 1000, 2),
        "p99_ms": round(percentile(times, 99) * 1000, 2),
        "n": len(times),
    }


def command_costs(folder: Path, rounds: int) -> dict[str, float]:
    """Return the CPU time of programs that only tell something, in ms; medians."""
    where = {"emf-agent": ["--state-dir", str(folder / "node")]}
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        for program, *words in COMMANDS:
            more = where.get(program, []) if "--help" not in words else []
            before = os.times()
            subprocess.run(
                [Path(sys.executable).parent / program, *words, *more],
                stdout=subprocess.DEVNULL,
                check=True,
            )
            after = os.times()
            used = after[2] + after[3] - before[2] - before[3]
            taken.setdefault(" ".join([program, *words]), []).append(used * 1000)
    return {name: round(statistics.median(times)) for name, times in taken.items()}


async def starts(agent: Agent, operator: Operator, rounds: int) -> dict[str, Any]:
    """Start the agent again and again; the last one stays."""
    ready, contact, sessions, used, ends = [], [], [], [], []
    for turn in range(rounds):
        began = time.perf_counter()
        ready.append(await asyncio.to_thread(agent.start))
        used.append(cpu_s(agent.pid))
        contact.append(await operator.heard("node.online", began) - began)
        await operator.active(LEAST_SESSIONS)
        sessions.append(time.perf_counter() - began)
        if turn < rounds - 1:
            ends.append(await asyncio.to_thread(agent.stop))
    return {
        "ready_s": round(statistics.median(ready), 3),
        "ready_cpu_s": round(statistics.median(used), 3),
        "first_contact_s": round(statistics.median(contact), 3),
        "all_sessions_active_s": round(statistics.median(sessions), 3),
        "end_s": round(statistics.median(ends), 3),
        "n": rounds,
    }


async def idle(pids: dict[str, int], extent: Extent) -> dict[str, Any]:
    """Let both sit; return what they cost meanwhile."""
    await asyncio.sleep(extent.settle_s)
    before = {name: Cost.of(pid) for name, pid in pids.items()}
    busy, began = machine_busy_s(), time.perf_counter()
    await asyncio.sleep(extent.idle_s)
    seconds = time.perf_counter() - began
    spent = {name: Cost.of(pid) - before[name] for name, pid in pids.items()}
    others = machine_busy_s() - busy - sum(cost.cpu_s for cost in spent.values())
    told: dict[str, Any] = {
        name: {
            **asdict(Memory.of(pids[name])),
            "cpu_percent": round(cost.cpu_s / seconds * 100, 3),
            "children_cpu_percent": round(cost.children_cpu_s / seconds * 100, 3),
            "wakeups_per_s": round(cost.voluntary_switches / seconds, 2),
        }
        for name, cost in spent.items()
    }
    return {**told, "seconds": round(seconds, 1), "others_cpus_busy": round(others / seconds, 2)}


def bare_spawn() -> float:
    """Start /bin/true as a script would; return the seconds until its end."""
    began = time.perf_counter()
    subprocess.run(["/bin/true"], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return time.perf_counter() - began


async def trips(operator: Operator, pids: dict[str, int], n: int) -> dict[str, Any]:
    """Measure round trips one at a time: nothing, /bin/true, and a bare /bin/true, in turn."""
    nothing, spawn, bare = [], [], []
    for _ in range(n):
        nothing.append(await operator.run("bench_nothing"))
        spawn.append(await operator.run("bench_spawn"))
        bare.append(bare_spawn())
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    for _ in range(n):
        await operator.run("bench_nothing")
    used = {name: (cpu_s(pid) - before[name]) / n * 1000 for name, pid in pids.items()}
    pairs = [ours / theirs for ours, theirs in zip(spawn, bare, strict=True)]
    return {
        "nothing": milliseconds(nothing),
        "spawn": milliseconds(spawn),
        "bare_spawn": milliseconds(bare),
        "spawn_to_bare_ratio": round(statistics.median(pairs), 1),
        "spawn_over_nothing_ms": round(
            (statistics.median(spawn) - statistics.median(nothing)) * 1000, 2
        ),
        "cpu_ms_per_action": {name: round(ms, 2) for name, ms in used.items()},
    }


async def in_flight(operator: Operator, n: int) -> dict[str, Any]:
    """Keep sixteen actions going; return how many end in a second."""
    left = iter(range(n))

    async def one_after_the_other() -> None:
        for _ in left:
            await operator.run("bench_nothing")

    began = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(IN_FLIGHT)))
    seconds = time.perf_counter() - began
    return {"in_flight": IN_FLIGHT, "actions_per_s": round(n / seconds, 1), "n": n}


async def at_once(operator: Operator) -> dict[str, Any]:
    """Ask for a hundred actions at once; return when the first and the last were answered."""
    began = time.perf_counter()
    taken = await asyncio.gather(*(operator.run("bench_nothing") for _ in range(AT_ONCE)))
    return {
        "at_once": AT_ONCE,
        "first_s": round(min(taken), 3),
        "last_s": round(time.perf_counter() - began, 3),
    }


async def requests(operator: Operator, manager: Manager, fqdn: str, n: int) -> dict[str, Any]:
    """Measure single requests of the API, and what of the manager's CPU time each takes."""

    async def measured(ask: Callable[[], Awaitable[object]]) -> dict[str, float]:
        times, before = [], cpu_s(manager.pid)
        for _ in range(n):
            began = time.perf_counter()
            await ask()
            times.append(time.perf_counter() - began)
        return {**milliseconds(times), "cpu_ms": round((cpu_s(manager.pid) - before) / n * 1000, 2)}

    job = {"action": "bench_nothing", "nodes": fqdn}
    return {
        "GET node": await measured(lambda: operator.get(f"nodes/{fqdn}")),
        "GET data": await measured(lambda: operator.get(f"data/{fqdn}/host")),
        "POST ping": await measured(lambda: operator.post("ping", {"nodes": fqdn})),
        "POST job": await measured(lambda: operator.post("jobs", job)),
    }


async def measure(folder: Path, extent: Extent, *, everything: bool) -> dict[str, Any]:
    """Measure everything."""
    told: dict[str, Any] = {"machine": machine(), "extent": asdict(extent)}
    plugins = install(folder / "site")
    say("importing")
    told["import_cpu_ms"] = import_costs(IMPORTS, extent.imports)
    with a_manager(folder) as manager:
        agent = enrolled_agent(folder, manager, plugins, everything=everything)
        told["command_cpu_ms"] = command_costs(folder, extent.imports)
        async with an_operator(manager, agent) as operator:
            say("starting")
            told["start"] = await starts(agent, operator, extent.starts)
            try:
                pids = {"agent": agent.pid, "manager": manager.pid}
                say(f"idle for {extent.settle_s + extent.idle_s:g} s")
                told["idle"] = await idle(pids, extent)
                node = await operator.get(f"nodes/{agent.fqdn}")
                told["sessions"] = [f"{name} {state}" for name, state in node["sessions"].items()]
                say("round trips")
                for name in ("bench_nothing", "bench_spawn"):
                    result = await operator.outcome(name)
                    if "Ok" not in result:
                        raise SystemExit(f"{name}: {result}")
                told["trips"] = await trips(operator, pids, extent.trips)
                say("bursts")
                told["burst"] = await in_flight(operator, extent.burst)
                told["at_once"] = await at_once(operator)
                told["requests"] = await requests(operator, manager, agent.fqdn, extent.trips)
                told["after_load"] = {name: asdict(Memory.of(pid)) for name, pid in pids.items()}
            finally:
                agent.stop()
    told["machine"]["load_average_after"] = machine()["load_average"]
    return told


def rows(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Return a line for each figure."""
    if isinstance(value, dict):
        return [row for key, inner in value.items() for row in rows(inner, (*path, key))]
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return [(" / ".join(path), shown)]


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the figures here too")
    parser.add_argument("--quick", action="store_true", help="a look, not a measurement")
    parser.add_argument(
        "--everything", action="store_true", help="every installed bundle, not only the host's"
    )
    return parser.parse_args()


def main() -> None:
    """Measure, and print a table."""
    wanted = arguments()
    os.umask(0o077)
    with tempfile.TemporaryDirectory(prefix="emf-bench-") as folder:
        extent = QUICK if wanted.quick else Extent()
        told = asyncio.run(measure(Path(folder), extent, everything=wanted.everything))
    table = rows(told)
    width = max(len(name) for name, _ in table)
    for name, shown in table:
        print(f"{name:<{width}}  {shown}")
    if wanted.json:
        wanted.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
