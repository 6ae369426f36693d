"""Blocks of counters that move with the clock, in the formats of ``/proc`` and debugfs."""

from __future__ import annotations

import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from emf_plugins_lustre.testing.simulation import Simulation

__all__ = ["Row", "brw_block", "counted", "job_block", "stats_block"]

Row = tuple[str, str, float, int]
"""An operation: name, unit, how often a second, its usual size or duration."""


def counted(row: Row, age_s: float, salt: str) -> int:
    """Return how often an operation has happened; targets differ a little by their name."""
    share = 0.7 + (zlib.crc32(f"{salt}/{row[0]}".encode()) % 600) / 1000
    return int(row[2] * share * age_s)


def times(simulation: Simulation, age_s: float, *, colon: str = "", indent: str = "") -> str:
    """Return the three lines that every block begins with."""
    ends = simulation.now
    rows = (("snapshot_time", ends), ("start_time", ends - age_s), ("elapsed_time", age_s))
    return "".join(f"{indent}{name + colon:<25} {value:.9f} secs.nsecs\n" for name, value in rows)


def stats_block(simulation: Simulation, name: str, target: str | None, rows: Sequence[Row]) -> str:
    """Return a ``stats`` block; operations that have not happened yet are left out."""
    age_s = simulation.age_s(name, target)
    lines = ["\n", times(simulation, age_s)]
    for row in rows:
        count = counted(row, age_s, name)
        if count:
            lines.append(f"{row[0]:<25} {count} samples [{row[1]}]{spread(row, count)}\n")
    return "".join(lines)


def spread(row: Row, count: int) -> str:
    """Return minimum, maximum, sum and sum of squares; nothing for what is only counted."""
    if row[1] == "reqs":
        return ""
    usual = row[3]
    return f" {usual // 4} {usual * 3} {usual * count} {usual * usual * count % 2**64}"


SECTIONS = (
    ("pages per bulk r/w", "rpcs", ("1", "16", "256", "1K")),
    ("discontiguous pages", "rpcs", ("0", "1")),
    ("discontiguous blocks", "rpcs", ("0", "1")),
    ("disk fragmented I/Os", "ios", ("1", "2")),
    ("disk I/Os in flight", "ios", ("1", "2", "4")),
    ("I/O time (1/1000s)", "ios", ("1", "8", "64")),
    ("disk I/O size", "ios", ("4K", "64K", "1M", "4M")),
)


def brw_block(simulation: Simulation, name: str, target: str) -> str:
    """Return ``brw_stats``: histograms of reads and writes."""
    age_s = simulation.age_s(name, target)
    total = int(age_s * 12)
    lines = ["\n", times(simulation, age_s, colon=":")]
    for title, unit, buckets in SECTIONS:
        lines.append("\n                           read      |     write\n")
        lines.append(f"{title:<22} {unit}  % cum % |  {unit}        % cum %\n")
        share = total // len(buckets)
        for position, bucket in enumerate(buckets, start=1):
            percent, so_far = 100 // len(buckets), 100 * position // len(buckets)
            half = f"{share:10d} {percent:3d} {so_far:3d}"
            lines.append(f"{bucket}:\t\t{half}   | {half}\n")
    return "".join(lines)


def job_block(
    simulation: Simulation, name: str, target: str, jobs: Sequence[str], rows: Sequence[Row]
) -> str:
    """Return ``job_stats``: the operations of each job; the first job does the most."""
    if not jobs:
        return "job_stats:"
    age_s = simulation.age_s(name, target)
    lines = ["\njob_stats:\n"]
    for position, job in enumerate(jobs, start=1):
        lines.append(f"- job_id:          {job}\n")
        lines.append(times(simulation, age_s, colon=":", indent="  "))
        for row in rows:
            count = counted(row, age_s / position, f"{name}/{job}")
            usual = row[3] if count else 0
            lines.append(
                f"  {row[0] + ':':<16} {{ samples: {count:11d}, unit: {row[1]:>5},"
                f" min: {usual // 4:8d}, max: {usual * 3:8d}, sum: {usual * count:16d},"
                f" sumsq: {usual * usual * count % 2**64:18d} }}\n"
            )
    return "".join(lines)
