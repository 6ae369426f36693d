"""The node itself: CPU and memory out of ``/proc``, and the Lustre mounts that say its role.

Facts: "lustre statistics, node"; proc_stat(5), proc_meminfo(5); mount options of ``mount.lustre``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from emf_plugins_lustre.stats.records import Record

__all__ = ["mounted_clients", "mounted_targets", "read_cpu", "read_memory"]

_MEMORY = {
    "MemTotal": "mem_total",
    "MemFree": "mem_free",
    "SwapTotal": "swap_total",
    "SwapFree": "swap_free",
}
_SERVER_TYPES = {"lustre", "lustre_tgt"}
_SVNAME = re.compile(r"(?:^|,)svname=([A-Za-z0-9_\-]+)")


def read_memory(text: str) -> Iterator[Record]:
    """Yield four figures of ``/proc/meminfo``, in KiB."""
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        figure = rest.split()[:1]
        if name in _MEMORY and figure and figure[0].isdigit():
            yield Record("host", None, _MEMORY[name], int(figure[0]), "KiB")


def read_cpu(text: str) -> Iterator[Record]:
    """Yield user, I/O wait, system and total jiffies of the first line of ``/proc/stat``."""
    words = text.partition("\n")[0].split()
    figures = [int(word) for word in words[1:7] if word.isdigit()]
    if words[:1] != ["cpu"] or len(figures) < 6:
        return
    for name, jiffies in (
        ("cpu_user", figures[0]),
        ("cpu_iowait", figures[4]),
        ("cpu_system", figures[2] + figures[5]),
        ("cpu_total", sum(figures)),
    ):
        yield Record("host", None, name, jiffies, "jiffies")


def mounted_targets(mounts: str) -> set[str]:
    """Return the targets that ``/proc/mounts`` says are served here, by name."""
    return {
        match[1]
        for _, kind, options in _lustre_mounts(mounts)
        if kind in _SERVER_TYPES and (match := _SVNAME.search(options)) is not None
    }


def mounted_clients(mounts: str) -> int:
    """Return how many Lustre file systems are mounted here as a client."""
    return sum(
        1
        for device, kind, options in _lustre_mounts(mounts)
        if kind == "lustre" and ":/" in device and "svname=" not in options
    )


def _lustre_mounts(mounts: str) -> Iterator[tuple[str, str, str]]:
    for line in mounts.splitlines():
        words = line.split()
        if len(words) >= 4 and words[2] in _SERVER_TYPES:
            yield words[0], words[2], words[3]
