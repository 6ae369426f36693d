"""Histograms: ``brw_stats``, ``rpc_stats`` and ``io_latency_stats``.

Grammar: "lustre statistics, brw_stats" and "io_latency_stats". Only the first number of each
half of a bucket is data; the percentages are arithmetic the kernel did for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.numbers import count, scaled
from emf_plugins_lustre.stats.records import Bucket, Header, Histogram, Histograms
from emf_plugins_lustre.stats.stats_block import HeaderLines

__all__ = ["read_brw_stats", "read_io_latency"]

SHORT_NAMES = {
    "pages per bulk r/w": "pages",
    "discontiguous pages": "discont_pages",
    "discontiguous blocks": "discont_blocks",
    "disk fragmented I/Os": "dio_frags",
    "disk I/Os in flight": "rpc_hist",
    "I/O time (1/1000s)": "io_time",
    "disk I/O size": "disk_iosize",
    "block maps msec": "block_maps_msec",
    "pages per rpc": "pages_per_rpc",
    "rpcs in flight": "rpcs_in_flight",
    "offset": "offset",
}
_TITLE = re.compile(rb"%\s+cum\s+%")
_HALVES = {b"read", b"write", b"modify"}
_TIMED_SIZE = re.compile(r"(\d+[KMG]?) I/O time \(1/1000s\)\Z", re.IGNORECASE)
_BUCKET = re.compile(
    rb"\s*(\d+[KMGTkmgt]?):\s+(-?\d+)(?:\s+\d+){0,2}\s*(?:\|\s*(-?\d+)(?:\s[\s\d]*)?)?\Z"
)
_GAUGE = re.compile(rb"\s*([A-Za-z][A-Za-z_ ]*?):\s+(\d+)\s*\Z")
_LATENCY = re.compile(rb"\s*(rd|wr)_(\w+):\s*\{(.*)\}\s*\Z")
_LATENCY_BUCKET = re.compile(rb"\s*(\d+)us:\s*(-?\d+)\s*\Z")


class _Section:
    def __init__(self, name: str, unit: str) -> None:
        self.name = name
        self.unit = unit
        self.buckets: list[Bucket] = []

    def done(self) -> Histogram:
        return Histogram(self.name, self.unit, tuple(self.buckets))


def read_brw_stats(
    lines: Iterable[tuple[int, bytes]], losses: Losses, param: str
) -> tuple[Histograms, Header | None]:
    """Return all sections of ``brw_stats`` or ``rpc_stats``, and the times."""
    head = HeaderLines()
    sections: list[_Section] = []
    gauges: dict[str, int] = {}
    for number, line in lines:
        if not line.strip() or _is_halves(line):
            continue
        if sections and (bucket := _bucket(line)) is not None:
            sections[-1].buckets.append(bucket)
        elif (title := _title(line)) is not None:
            sections.append(title)
        elif b"_time" in line and head.take(line):
            continue
        elif not sections and (gauge := _GAUGE.match(line)) is not None:
            gauges[gauge[1].decode().replace(" ", "_").lower()] = int(gauge[2][:40])
        else:
            losses.note(param, number, "unreadable bucket", line)
    return Histograms(tuple(s.done() for s in sections), gauges), head.header()


def read_io_latency(
    lines: Iterable[tuple[int, bytes]], losses: Losses, param: str
) -> tuple[Histograms, Header | None]:
    """Return one histogram for each I/O size, named ``io_time_4K``; buckets in microseconds."""
    head = HeaderLines()
    sizes: dict[str, dict[int, list[int]]] = {}
    for number, line in lines:
        stripped = line.strip()
        if not stripped or stripped == b"io_latency_by_size:" or head.take(line):
            continue
        match = _LATENCY.match(line)
        if match is None:
            losses.note(param, number, "unreadable bucket", line)
            continue
        half = 0 if match[1] == b"rd" else 1
        buckets = sizes.setdefault(match[2].decode("utf-8", "replace"), {})
        for item in match[3].split(b","):
            bucket = _LATENCY_BUCKET.match(item)
            if bucket is not None and (found := count(bucket[2])) is not None:
                buckets.setdefault(int(bucket[1][:40]), [0, 0])[half] = found
            elif item.strip():
                losses.note(param, number, "unreadable bucket", item)
    sections = tuple(
        Histogram(f"io_time_{size}", "ios", tuple(Bucket(at, *sizes[size][at]) for at in latencies))
        for size in sorted(sizes)
        for latencies in [sorted(sizes[size])]
    )
    return Histograms(sections), head.header()


def _is_halves(line: bytes) -> bool:
    return _HALVES.issuperset(line.replace(b"|", b" ").split())


def _title(line: bytes) -> _Section | None:
    match = _TITLE.search(line)
    words = line[: match.start()].decode("utf-8", "replace").split() if match else []
    if len(words) < 2:
        return None
    return _Section(_short_name(" ".join(words[:-1])), words[-1])


def _short_name(title: str) -> str:
    timed = _TIMED_SIZE.match(title)
    if timed is not None:
        return f"io_time_{scaled(timed[1].encode())}"
    return SHORT_NAMES.get(title) or re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")


def _bucket(line: bytes) -> Bucket | None:
    match = _BUCKET.match(line)
    if match is None:
        return None
    size = scaled(match[1])
    read, write = count(match[2]), count(match[3] or b"0")
    if size is None or read is None or write is None:
        return None
    return Bucket(size, read, write)
