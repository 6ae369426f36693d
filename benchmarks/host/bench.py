"""How fast the host bundle is: daemon ``network`` with 1,000 interfaces, and the start of a unit.

Run as ``python benchmarks/host/bench.py`` or ``hatch run bench:host``, by root. The first in a
network namespace of its own, beside ``ip``; the second in a sandbox with a real systemd, beside
the ancestor's polling. All pairs in one run, alternating. It asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
INTERFACES = 1000


def median_ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 2)


async def network(rounds: int) -> dict[str, Any]:
    """Measure inside a network namespace that has the interfaces."""
    from emf_plugins_host.network.daemon import Network

    daemon = Network()
    payload = await daemon.update_session()
    ours, theirs = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        await daemon.update_session()
        ours.append(time.perf_counter() - began)
        theirs.append(await anyio.to_thread.run_sync(ip_seconds))
    return {
        "interfaces": len(payload["network_interfaces"]),
        "update_ms": median_ms(ours),
        "update_worst_ms": round(max(ours) * 1000, 2),
        "ip_json_ms": median_ms(theirs),
    }


def ip_seconds() -> float:
    began = time.perf_counter()
    words = ["ip", "-json", "-statistics", "address"]
    json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    return time.perf_counter() - began


def in_namespace(rounds: int) -> dict[str, Any]:
    pairs = "".join(f"link add a{n} type veth peer name b{n}\n" for n in range(INTERFACES // 2))
    script = f'printf %s "$1" | ip -batch - && exec {sys.executable} {__file__} --inside {rounds}'
    words = ["unshare", "-n", "sh", "-c", script, "sh", pairs]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def units(rounds: int) -> dict[str, Any]:
    from tests.sandbox import Machine, missing

    why = missing()
    if why is not None:
        return {"not measured": why}
    machine = Machine("emf-bench")
    try:
        lags = json.loads(
            machine.run(sys.executable, str(ROOT / "benchmarks/host/unit_lag.py"), str(rounds))
        )
    finally:
        machine.close()
    return {
        f"{way}_{name}_ms": round(value, 2)
        for way, found in lags.items()
        for name, value in (("median", statistics.median(found)), ("worst", max(found)))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=22)
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        print(json.dumps(anyio.run(network, given.inside)))
        return
    report = {"network": in_namespace(given.rounds), "start_unit": units(given.rounds)}
    for name, figures in report.items():
        print(f"{name}:", file=sys.stderr)
        for key, value in figures.items():
            print(f"  {key:20} {value}", file=sys.stderr)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
