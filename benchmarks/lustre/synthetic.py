"""Synthetic ``job_stats``: what a busy server prints, in any size, the same for a given seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

__all__ = ["job_stats"]

_OST = """
read_bytes write_bytes read write getattr setattr punch sync destroy create statfs get_info
set_info quotactl prealloc
"""
OST_OPERATIONS = tuple(_OST.split())
_MDT = """
open close mknod link unlink mkdir rmdir rename getattr setattr getxattr setxattr statfs sync
samedir_rename parallel_rename_file parallel_rename_dir crossdir_rename read write read_bytes
write_bytes punch migrate
"""
MDT_OPERATIONS = tuple(_MDT.split())
ZERO_SHARE = 0.8
JOBS_OF_A_TARGET = 20_000


def job_stats(jobs: int, *, seed: int = 1, zero_share: float = ZERO_SHARE) -> Iterator[bytes]:
    """Yield the output of ``lctl get_param *.job_stats`` in pieces, ``jobs`` jobs in all.

    Two of three jobs are on OSTs, one is on an MDT; four fifths of the rows are zeros.
    """
    chance = random.Random(seed)
    osts = jobs * 2 // 3
    for tree, name, operations, count in (
        ("obdfilter", "big-OST", OST_OPERATIONS, osts),
        ("mdt", "big-MDT", MDT_OPERATIONS, jobs - osts),
    ):
        for number in range(count):
            if number % JOBS_OF_A_TARGET == 0:
                target = f"{name}{number // JOBS_OF_A_TARGET:04x}"
                yield f"{tree}.{target}.job_stats=\njob_stats:\n".encode()
            yield _job(number, operations, chance, zero_share)


def _job(
    number: int, operations: tuple[str, ...], chance: random.Random, zero_share: float
) -> bytes:
    start = 1_750_000_000 + chance.randrange(100_000)
    elapsed = chance.randrange(1, 10_000)
    job_id = (
        f'"{number}:{1000 + number % 50}:node{number % 9000:04d}"'
        if number % 3
        else f"app{number % 40}.{1000 + number}"
    )
    lines = [
        f"- job_id:          {job_id}",
        f"  snapshot_time:   {start + elapsed}.{chance.randrange(10**9):09d} secs.nsecs",
        f"  start_time:      {start}.{chance.randrange(10**9):09d} secs.nsecs",
        f"  elapsed_time:    {elapsed}.{chance.randrange(10**9):09d} secs.nsecs",
    ]
    lines += [
        _row(operation, chance, zero=chance.random() < zero_share) for operation in operations
    ]
    return ("\n".join(lines) + "\n").encode()


def _row(operation: str, chance: random.Random, *, zero: bool) -> str:
    in_bytes = operation.endswith("_bytes")
    unit = "bytes" if in_bytes else "usecs"
    samples = least = most = total = squares = 0
    buckets = ""
    if not zero:
        samples = chance.randrange(1, 100_000)
        least = 4096 if in_bytes else chance.randrange(1, 50)
        most = (1 << chance.randrange(13, 25)) if in_bytes else chance.randrange(50, 900_000)
        total = samples * (least + most) // 2
        squares = total * most
        sizes = ("4K", "64K", "1M", "4M")
        buckets = ", ".join(f"{size}: {chance.randrange(1, samples + 2)}" for size in sizes)
    hist = f", hist: {{ {buckets} }}" if in_bytes else ""
    return (
        f"  {operation + ':':<16} {{ samples: {samples:>11}, unit: {unit}, min: {least:>8}, "
        f"max: {most:>8}, sum: {total:>16}, sumsq: {squares:>18}{hist} }}"
    )
