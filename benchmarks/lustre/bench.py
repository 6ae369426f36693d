"""How fast job statistics are read: MB/s of CPU time, peak memory, longest stall of the event loop.

Run as ``python benchmarks/lustre/bench.py`` or ``hatch run bench:lustre``. Every measurement is
a process of its own over the same synthetic dump, in alternating rounds; PyYAML's C loader and a
bare line-split loop stand beside ours in the same run. Ratios carry over to other machines,
absolute figures do not. It asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from synthetic import job_stats

CHUNK = 128 * 1024
AIMS = {"all rows": 75, "non-zero rows": 150, "text, all rows": 60}
YAML_JOBS = 10_000
LEAST_CPU_S = 0.3
STALLS = {
    "loop stall": "longest stall of the event loop (aim < 20 ms)",
    "counting stall": "the same beside a thread that merely counts",
}


def chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def bare_split(path: str) -> int:
    """Cut into lines and words, understand nothing."""
    words = 0
    for chunk in chunks(path):
        for line in chunk.split(b"\n"):
            words += len(line.split())
    return words


def pyyaml(path: str) -> int:
    """Load one document for each target with PyYAML's C loader."""
    import yaml

    jobs = 0
    document: list[bytes] = []
    with open(path, "rb") as file:
        for line in [*file, b"end.job_stats="]:
            if line.rstrip().endswith(b".job_stats="):
                if document:
                    loaded = yaml.load(b"".join(document), Loader=yaml.CSafeLoader)
                    jobs += len(loaded["job_stats"])
                document = []
            else:
                document.append(line)
    return jobs


def read(path: str, *, skip_zero_rows: bool) -> int:
    """Read every job into rows of numbers."""
    from emf_plugins_lustre.stats.job_reader import iter_jobs
    from emf_plugins_lustre.stats.losses import Losses

    losses = Losses()
    rows = 0
    for job in iter_jobs(chunks(path), losses, skip_zero_rows=skip_zero_rows):
        rows += len(job.rows)
    assert losses.total == 0, losses.shown[:3]
    return rows


def text(path: str, *, native: bool = False, skip_zero_rows: bool = False) -> int:
    """Read every job and write the finished exposition."""
    from emf_plugins_lustre.stats.exposition_jobs import compat_jobs
    from emf_plugins_lustre.stats.exposition_native_jobs import native_jobs
    from emf_plugins_lustre.stats.job_reader import iter_jobs
    from emf_plugins_lustre.stats.losses import Losses

    written = 0
    with native_jobs() if native else compat_jobs() as jobs:
        jobs.add(iter_jobs(chunks(path), Losses(), skip_zero_rows=skip_zero_rows))
        for piece in jobs.text():
            written += len(piece)
    return written


def top(path: str) -> int:
    """Choose the busiest hundred jobs of each target."""
    from emf_plugins_lustre.stats.job_pipeline import JobPipeline
    from emf_plugins_lustre.stats.job_selection import JobCriteria
    from emf_plugins_lustre.stats.losses import Losses
    from emf_plugins_lustre.stats.records import Job

    jobs: list[Job] = []
    criteria = JobCriteria(top=100)
    pipeline = JobPipeline(Losses(), jobs.extend, criteria=criteria, skip_zero_rows=True)
    for chunk in chunks(path):
        pipeline.feed(chunk)
    pipeline.close()
    return len(jobs)


def stall(path: str) -> int:
    """Collect from an ``lctl`` that prints the dump; return the longest stall in microseconds."""
    from emf_agent.command import Surroundings
    from emf_plugins_lustre.stats.collect import Wanted, collect
    from emf_plugins_lustre.stats.exposition_jobs import compat_jobs
    from emf_plugins_lustre.stats.job_pipeline import JobPipeline

    async def measured() -> float:
        longest = 0.0
        done = False

        async def tick() -> None:
            nonlocal longest
            last = time.perf_counter()
            while not done:
                await asyncio.sleep(0.001)
                now = time.perf_counter()
                longest = max(longest, now - last - 0.001)
                last = now

        ticker = asyncio.create_task(tick())
        with compat_jobs() as jobs:
            wanted = Wanted(groups=frozenset(), lnet=False, timeout_s=600)
            reading = await collect(wanted, lambda losses: JobPipeline(losses, jobs.add))
            assert reading.cost.jobs, reading.cost
        done = True
        await ticker
        return longest

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "lctl")
        script.write_text(f"#!/bin/sh\nexec /bin/cat {path}\n")
        script.chmod(0o755)
        with Surroundings(search_path=(folder,)).entered():
            return int(asyncio.run(measured()) * 1e6)


def counting(_path: str) -> int:
    """Return the longest stall beside a thread that merely counts: what no thread can better."""

    async def measured() -> float:
        done = False

        def count() -> None:
            number = 0
            while not done:
                number += 1

        thread = threading.Thread(target=count)
        thread.start()
        longest, last = 0.0, time.perf_counter()
        end = last + 3.0
        while last < end:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest = max(longest, now - last - 0.001)
            last = now
        done = True
        thread.join()
        return longest

    return int(asyncio.run(measured()) * 1e6)


WAYS: dict[str, Callable[[str], int]] = {
    "bare line split": bare_split,
    "PyYAML C loader": pyyaml,
    "all rows": lambda path: read(path, skip_zero_rows=False),
    "non-zero rows": lambda path: read(path, skip_zero_rows=True),
    "text, all rows": text,
    "text, non-zero rows": lambda path: text(path, skip_zero_rows=True),
    "text, native": lambda path: text(path, native=True, skip_zero_rows=True),
    "top 100": top,
    "loop stall": stall,
    "counting stall": counting,
}


def child(way: str, path: str) -> None:
    """Measure one way in this process, and print it as JSON; short runs are repeated."""
    warm_up(way)
    runs = 0
    began, wall = time.process_time(), time.perf_counter()
    while True:
        result = WAYS[way](path)
        runs += 1
        if time.process_time() - began > LEAST_CPU_S or way in STALLS:
            break
    seconds, wall = (time.process_time() - began) / runs, (time.perf_counter() - wall) / runs
    measured = {
        "result": result,
        "cpu_s": seconds,
        "wall_s": wall,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "mb_s": os.path.getsize(path) / 1e6 / seconds,
    }
    print(json.dumps(measured))


def warm_up(way: str) -> None:
    """Import what a way needs, so that it is not measured."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(job_stats(3)))
        file.flush()
        WAYS[way](file.name)


def measure(way: str, path: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", way, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def write_dump(folder: str, jobs: int) -> str:
    path = os.path.join(folder, f"jobs-{jobs}.txt")
    with open(path, "wb") as file:
        file.writelines(job_stats(jobs))
    return path


def rounds_of(jobs: int, asked: int) -> int:
    return asked if jobs <= 10_000 else 1


def report(jobs: int, size_mb: float, results: dict[str, dict[str, float]]) -> None:
    print(f"\n{jobs:,} jobs, {size_mb:.0f} MB")
    print(f"  {'':24}{'MB/s CPU':>10}{'x PyYAML':>10}{'aim':>7}{'CPU s':>9}{'peak MiB':>10}")
    slowest = results["PyYAML C loader"]["mb_s"]
    for way, found in results.items():
        if way in STALLS:
            print(f"  {STALLS[way]}: {found['result'] / 1000:.1f} ms")
            continue
        ratio = found["mb_s"] / slowest
        aim = f">={AIMS[way]}" if way in AIMS else ""
        print(
            f"  {way:24}{found['mb_s']:>10.1f}{ratio:>10.1f}{aim:>7}"
            f"{found['cpu_s']:>9.2f}{found['peak_mib']:>10.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="store all figures here as well")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"PyYAML reads at most {YAML_JOBS:,} jobs: it slows down, and grows, with its document")
    stored = {}
    with tempfile.TemporaryDirectory() as folder:
        for jobs in options.jobs:
            path = write_dump(folder, jobs)
            yaml_path = path if jobs <= YAML_JOBS else write_dump(folder, YAML_JOBS)
            rounds: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
            for _ in range(rounds_of(jobs, options.rounds)):
                for way, found in rounds.items():
                    if way == "PyYAML C loader" and found:
                        continue  # minutes in all, and steady
                    found.append(measure(way, yaml_path if way == "PyYAML C loader" else path))
            medians = {
                way: {key: statistics.median(one[key] for one in found) for key in found[0]}
                for way, found in rounds.items()
            }
            stored[jobs] = medians
            report(jobs, os.path.getsize(path) / 1e6, medians)
    if options.json:
        Path(options.json).write_text(json.dumps(stored, indent=1))


if __name__ == "__main__":
    main()
