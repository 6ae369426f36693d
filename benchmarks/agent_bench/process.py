"""What the kernel says a process costs: memory, CPU time, wake-ups; and how busy the machine is."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "Memory", "cpu_s", "import_costs", "machine", "machine_busy_s", "percentile"]

SCHED_CLOCK = 2
"""Which of a process's CPU clocks: the precise one."""


@dataclass(frozen=True)
class Memory:
    """Resident, proportional and unshared memory, in MiB (proc(5), smaps_rollup)."""

    rss: float
    pss: float
    uss: float

    @classmethod
    def of(cls, pid: int) -> Memory:
        """Read it of a process of ours."""
        sizes = {}
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, size = line.split(":")
            sizes[name] = int(size.split()[0]) / 1024
        unshared = sizes["Private_Clean"] + sizes["Private_Dirty"]
        return cls(round(sizes["Rss"], 1), round(sizes["Pss"], 1), round(unshared, 1))


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process with all its threads, past ones too, in seconds.

    Precise to the nanosecond where /proc/PID/stat counts ticks of 10 ms: the kernel's encoding of
    a process's CPU clock (clock_getcpuclockid(3)).
    """
    return time.clock_gettime((~pid << 3) | SCHED_CLOCK)


@dataclass(frozen=True)
class Cost:
    """What a process has used so far."""

    cpu_s: float
    children_cpu_s: float
    """Of children that have ended and were waited for."""
    voluntary_switches: int
    """How often a living thread of it went to sleep: its wake-ups."""

    @classmethod
    def of(cls, pid: int) -> Cost:
        """Read it of a process of ours."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[13]) + int(fields[14])  # cutime, cstime
        switches = 0
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            for line in status.read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    switches += int(line.split()[1])
        return cls(cpu_s(pid), ticks / os.sysconf("SC_CLK_TCK"), switches)

    def __sub__(self, before: Cost) -> Cost:
        """Return what was used in between."""
        return Cost(
            self.cpu_s - before.cpu_s,
            self.children_cpu_s - before.children_cpu_s,
            self.voluntary_switches - before.voluntary_switches,
        )


IMPORT = """
import sys, time
began = time.process_time()
for name in sys.argv[1:]:
    __import__(name)
print(time.process_time() - began)
"""


def import_costs(modules: Sequence[str], rounds: int) -> dict[str, float]:
    """Return the CPU time of importing each module into a fresh interpreter, in ms; medians."""
    taken: dict[str, list[float]] = {name: [] for name in modules}
    for _ in range(rounds):
        for name in modules:
            command = [sys.executable, "-c", IMPORT, name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            taken[name].append(float(done.stdout) * 1000)
    return {name: round(statistics.median(times), 1) for name, times in taken.items()}


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    kernel = os.uname()
    return {
        "cpus": os.cpu_count(),
        "kernel": kernel.release,
        "python": sys.version.split()[0],
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def machine_busy_s() -> float:
    """Return the CPU time that all processes have used since boot, in seconds (proc(5), stat)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq = fields[:7]
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def percentile(times: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent do not exceed."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
