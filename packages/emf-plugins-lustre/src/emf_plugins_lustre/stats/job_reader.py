"""The reader of ``job_stats``: chunks of bytes in, jobs out, bounded memory, no YAML.

Grammar: "lustre statistics, job_stats". Fixed columns would be faster and wrong: a long
operation name pushes its row to the right. Speed comes from two facts instead. Four fifths
of all rows are zeros that repeat byte for byte, so a row of zeros is understood once and
then known by its text; and lines are cut by ``bytes.split``, so Python sees each line once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from emf_plugins_lustre.stats.lines import LineSplitter
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.numbers import MOST_DIGITS, count
from emf_plugins_lustre.stats.records import Job, Row

__all__ = ["JobReader", "ReadCounts", "iter_jobs"]

MOST_KNOWN_ROWS = 4096
MOST_ROWS_OF_A_JOB = 1024
MOST_BUCKETS = 128
CELLS = 15  # of a row cut at blanks, when it has no buckets
PARAM = "job_stats"

_LABELS = [b"samples:", b"unit:", b"min:", b"max:", b"sum:", b"sumsq:"]
_TIMES = {b"snapshot_time:", b"start_time:", b"elapsed_time:"}
_new_tuple = tuple.__new__  # a NamedTuple's own constructor costs twice as much

_KEY = re.compile(rb"(obdfilter|mdt)\.([A-Za-z0-9_\-]+)\.job_stats=")
_OTHER_KEY = re.compile(rb"(?:[A-Za-z0-9_\-]+\.[^\s=]+|\w+)=")
_MESSAGE = re.compile(rb"(?:error|warning): ")
_ROW = re.compile(
    rb"  ([^\s:{}]+):\s+\{ samples:\s*(\d+)(?:, unit:\s*([^\s,{}]+))?"
    rb"(?:, min:\s*(-?\d+), max:\s*(-?\d+), sum:\s*(-?\d+))?(?:, sumsq:\s*(-?\d+))?"
    rb"(?:, hist: \{([^{}]*)\})?\s*\}\s*\Z"
)
_OTHER_FIELD = re.compile(rb"  [^\s:{}]+:(?!\s*\{)")
_BUCKET = re.compile(rb"\b(\w+):\s*(\d+)")
_NEGATIVE = re.compile(rb":\s*-\d")


@dataclass(slots=True)
class ReadCounts:
    """What a reader has seen so far; ``zero_rows`` are those it left out."""

    bytes: int = 0
    jobs: int = 0
    rows: int = 0
    zero_rows: int = 0


class JobReader:
    """Reads one output of ``lctl get_param *.job_stats``; a job is done when the next begins.

    ``skip_zero_rows`` leaves rows without a sample out of ``Job.rows`` and counts them.
    """

    def __init__(self, losses: Losses, *, skip_zero_rows: bool = False) -> None:
        self.counts = ReadCounts()
        self._losses = losses
        self._skip_zero = skip_zero_rows
        self._splitter = LineSplitter(self._too_long)
        self._kind: Literal["ost", "mdt"] | None = None
        self._target = ""
        self._job: Job | None = None
        self._foreign = False
        self._known: dict[bytes, Row] = {}  # whole lines of zeros
        self._words: dict[bytes, str] = {}  # names with their colon, units

    def feed(self, chunk: bytes) -> list[Job]:
        """Take the next bytes of the output; return the jobs that they complete."""
        self.counts.bytes += len(chunk)
        lines = self._splitter.feed(chunk)
        jobs = self._read(lines)
        self._splitter.done += len(lines)
        return jobs

    def close(self) -> list[Job]:
        """Return what the end of the output completes: at most one job."""
        jobs = self._read(self._splitter.close())
        if self._job is not None:
            last, self._job = [self._job], None
            self._count(last)
            jobs += last
        return jobs

    def _read(self, lines: list[bytes]) -> list[Job]:  # noqa: C901 - the one hot loop, kept flat
        jobs: list[Job] = []
        known, words = self._known, self._words
        skip_zero, zeros = self._skip_zero, 0
        job = self._job
        for number, line in enumerate(lines, self._splitter.done + 1):
            if job is not None:
                row = known.get(line)
                if row is not None:
                    if skip_zero:
                        zeros += 1
                    else:
                        job.rows.append(row)
                    continue
                if line[:2] == b"  ":
                    # Most rows look like this; whatever does not is left to _inside.
                    parts = line.replace(b",", b" ").split()
                    if len(parts) >= CELLS and parts[2:14:2] == _LABELS and b"-" not in line:
                        name, unit, samples = words.get(parts[0]), words.get(parts[5]), parts[3]
                        if name is not None and unit is not None and samples != b"0":
                            try:
                                cells = (
                                    name,
                                    unit,
                                    int(samples),
                                    int(parts[7]),
                                    int(parts[9]),
                                    int(parts[11]),
                                    int(parts[13]),
                                )
                            except ValueError:
                                pass
                            else:
                                job.rows.append(_new_tuple(Row, cells))
                                if len(parts) > CELLS:
                                    self._buckets(job, name, line)
                                continue
                    elif len(parts) == 3 and parts[0] in _TIMES and _is_time(parts[1]):
                        job.times[parts[0]] = parts[1]
                        continue
                    self._inside(job, line, number)
                    continue
            following = self._job = self._outside(job, line, number)
            if job is not None and following is not job:
                jobs.append(job)
            job = following
        if job is not None and len(job.rows) > MOST_ROWS_OF_A_JOB:
            self._losses.note(PARAM, self._splitter.done + len(lines), "too many rows")
            del job.rows[MOST_ROWS_OF_A_JOB:]
        self.counts.zero_rows += zeros
        self._count(jobs)
        return jobs

    def _inside(self, job: Job, line: bytes, number: int) -> None:
        """Read any line of a job that is not a row of the usual look."""
        match = _ROW.match(line)
        if match is None:
            self._field(job, line, number)
            return
        name, samples, unit, least, most, total, squares, buckets = match.groups()
        row = Row(
            self._word(name + b":", name),
            self._word(unit, unit) if unit else "",
            int(samples[:MOST_DIGITS]),
            count(least or b""),
            count(most or b""),
            count(total or b""),
            count(squares or b""),
        )
        if b"-" in line and _NEGATIVE.search(line):
            self._losses.note(PARAM, number, "negative number", line)
        if row.samples == 0 and not (buckets and buckets.strip()):
            if len(self._known) < MOST_KNOWN_ROWS:
                self._known[line] = row
            if self._skip_zero:
                self.counts.zero_rows += 1
                return
        job.rows.append(row)
        if buckets:
            self._buckets(job, row.name, buckets)

    def _buckets(self, job: Job, name: str, text: bytes) -> None:
        found = _BUCKET.findall(text.rpartition(b"{")[2] or text)
        if found:
            job.histograms = job.histograms or {}
            job.histograms[name] = {
                size.decode(): int(times[:MOST_DIGITS]) for size, times in found[:MOST_BUCKETS]
            }

    def _word(self, spelling: bytes, text: bytes) -> str:
        word = text.decode("utf-8", "replace")
        if len(self._words) < MOST_KNOWN_ROWS:
            self._words[spelling] = word
        return word

    def _count(self, jobs: list[Job]) -> None:
        self.counts.jobs += len(jobs)
        self.counts.rows += sum([len(job.rows) for job in jobs])

    def _field(self, job: Job, line: bytes, number: int) -> None:
        name, *rest = line.split() or [b""]
        if name in _TIMES and rest and _is_time(rest[0]):
            job.times[name] = rest[0]
        elif name:
            reason = "unknown field" if _OTHER_FIELD.match(line) else "unreadable row"
            self._losses.note(PARAM, number, reason, line)

    def _outside(self, job: Job | None, line: bytes, number: int) -> Job | None:
        """Read a line that begins at the margin; return the job that is current after it."""
        if line[:9] == b"- job_id:":
            if self._kind is not None:
                return Job(self._kind, self._target, line[9:].strip())
            self._losses.note(PARAM, number, "job without target", line)
            return None
        if line[:10] == b"job_stats:" or not line.strip():
            return job
        match = _KEY.match(line)
        if match is not None:
            self._kind = "ost" if match[1] == b"obdfilter" else "mdt"
            self._target = match[2].decode("ascii")
            self._foreign = False
            return None
        if _OTHER_KEY.match(line):
            self._losses.note(PARAM, number, "not job statistics", line)
            self._kind, self._foreign = None, True
            return None
        if not self._foreign:
            reason = "message" if _MESSAGE.match(line) else "stray line"
            self._losses.note(PARAM, number, reason, line)
        return job

    def _too_long(self, line: int, start: bytes) -> None:
        self._losses.note(PARAM, line, "line too long", start)


def _is_time(text: bytes) -> bool:
    return text.replace(b".", b"", 1).isdigit() and len(text) <= MOST_DIGITS


def iter_jobs(
    chunks: Iterable[bytes],
    losses: Losses,
    *,
    skip_zero_rows: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Job]:
    """Yield the jobs of an output; ``stop`` is asked once a chunk."""
    reader = JobReader(losses, skip_zero_rows=skip_zero_rows)
    for chunk in chunks:
        if stop():
            return
        yield from reader.feed(chunk)
    yield from reader.close()
