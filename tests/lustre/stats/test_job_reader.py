"""Job statistics: read in a stream, whatever a server of any version prints."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterator

import pytest

from emf_plugins_lustre.stats.job_reader import JobReader, iter_jobs
from emf_plugins_lustre.stats.job_selection import JobCriteria, JobSelection
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.records import Job, Row
from tests.lustre.stats.samples import RECORDED

JOBS = (RECORDED / "jobs.txt").read_bytes()
ZERO = "{ samples:           0, unit: usecs, min:        0, max:        0, sum: 0, sumsq: 0 }"


def jobs_of(text: str | bytes, losses: Losses | None = None) -> list[Job]:
    data = text.encode() if isinstance(text, str) else text
    return list(iter_jobs([data], losses or Losses()))


def job(rows: str, target: str = "mdt.a-MDT0000") -> str:
    return f"{target}.job_stats=\njob_stats:\n- job_id:          x\n{rows}"


def test_our_sample_is_read_without_a_loss() -> None:
    losses = Losses()

    jobs = jobs_of(JOBS, losses)

    assert losses.total == 0
    assert [(j.kind, j.target, j.job_id) for j in jobs] == [
        ("ost", "tank-OST0001", "12345:1000:node0007"),
        ("ost", "tank-OST0001", "dd.0"),
        ("mdt", "tank-MDT0000", 'my app"'),
    ]
    assert jobs[2].job_id_raw == '"my\\x20app\\x22"'


def test_a_job_has_times_rows_and_histograms() -> None:
    first = jobs_of(JOBS)[0]

    assert (first.snapshot_time, first.start_time, first.elapsed_time) == (
        "1750000010.123456789",
        "1750000000.123456789",
        "10.000000000",
    )
    assert first.rows[1] == Row("write_bytes", "bytes", 3, 4096, 1 << 20, 1056768, 1099528404992)
    assert first.histograms == {"write_bytes": {"4K": 2, "1M": 1}}


def test_old_servers_print_fewer_columns_and_no_blanks() -> None:
    second = jobs_of(JOBS)[1]

    assert second.snapshot_time == "1750000011"
    assert second.rows == [
        Row("write_bytes", "bytes", 1, 4096, 16777216, 940887313584),
        Row("getattr", "reqs", 4),
    ]


def test_rows_of_zeros_are_left_out_on_request_and_counted() -> None:
    reader = JobReader(Losses(), skip_zero_rows=True)

    jobs = [*reader.feed(JOBS), *reader.close()]

    assert [len(j.rows) for j in jobs] == [4, 2, 2]
    assert (reader.counts.jobs, reader.counts.rows, reader.counts.zero_rows) == (3, 8, 3)


@pytest.mark.parametrize("size", [1, 2, 13, 100])
def test_chunks_may_end_anywhere(size: int) -> None:
    pieces = [JOBS[at : at + size] for at in range(0, len(JOBS), size)]

    torn = list(iter_jobs(pieces, Losses()))

    whole = jobs_of(JOBS)
    assert [(j.raw_id, j.rows, j.times) for j in torn] == [
        (j.raw_id, j.rows, j.times) for j in whole
    ]


@pytest.mark.parametrize(
    ("rows", "names", "reason"),
    [
        (f"  open: {ZERO}\n  strange line\n  close: {ZERO}\n", ["open", "close"], "unreadable row"),
        (f"  first_seen:      99\n  close: {ZERO}\n", ["close"], "unknown field"),
        (f"  open: {ZERO}\nLustreError: hello\n  close: {ZERO}\n", ["open", "close"], "stray line"),
        ("  open: { samples: 1, unit: usecs, min: 1,\n    max: 2 }\n", [], "unreadable row"),
        ("  open: { samples:           1, unit: us", [], "unreadable row"),
        (
            "  open: { samples: 2, unit: usecs, min: 1, max: 2, sum: -3, sumsq: 4 }\n",
            ["open"],
            "negative number",
        ),
        ("  snapshot_time:   soon\n", [], "unknown field"),
        (f"memused=1\n  close: {ZERO}\n", [], "not job statistics"),
    ],
)
def test_a_bad_line_of_a_job_costs_that_line(rows: str, names: list[str], reason: str) -> None:
    losses = Losses("jobs")

    (found,) = jobs_of(job(rows), losses)

    assert [row.name for row in found.rows] == names
    assert {why for _, why in losses.counts} >= {reason}
    assert losses.shown[0].line >= 4


def test_a_negative_cell_is_none_and_its_row_stays() -> None:
    (found,) = jobs_of(
        job("  open: { samples: 2, unit: usecs, min: 1, max: 2, sum: -3, sumsq: 4 }\n")
    )

    assert found.rows == [Row("open", "usecs", 2, 1, 2, None, 4)]


@pytest.mark.parametrize(
    ("printed", "job_id"),
    [
        ("a: b # c", "a: b # c"),
        ("@x", "@x"),
        ("", ""),
        ('""', ""),
        ('"a\\x5Cb"', "a\\b"),
        ('"', '"'),
        ("caf\xe9", "caf\xe9"),
    ],
)
def test_any_id_is_read(printed: str, job_id: str) -> None:
    text = f"mdt.a-MDT0000.job_stats=\njob_stats:\n- job_id:          {printed}\n  open: {ZERO}\n"

    (found,) = jobs_of(text)

    assert (found.job_id, found.job_id_raw) == (job_id, printed)


def test_a_job_without_a_target_is_named() -> None:
    losses = Losses()

    assert jobs_of(f"- job_id: x\n  open: {ZERO}\n", losses) == []
    assert losses.counts["job_stats", "job without target"] == 1


def test_a_row_of_zeros_outside_a_job_joins_none() -> None:
    losses = Losses()
    text = job(f"  open: {ZERO}\n") + f"mdt.a-MDT0001.job_stats=\n  open: {ZERO}\n"

    (found,) = jobs_of(text, losses)

    assert len(found.rows) == 1
    assert losses.counts["job_stats", "stray line"] == 1


def many_jobs(count: int) -> Iterator[bytes]:
    yield b"obdfilter.a-OST0000.job_stats=\njob_stats:\n"
    row = ZERO.replace("samples:           0", "samples:           7")
    for number in range(count):
        lines = "".join(f"  op{index}: {row}\n" for index in range(10))
        yield f"- job_id:          job.{number}\n  snapshot_time:   1\n{lines}".encode()


def test_memory_does_not_grow_with_the_number_of_jobs() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            selection = JobSelection(JobCriteria(top=10))
            selection.feed(iter_jobs(many_jobs(count), Losses()))
            assert len(selection.close()) == 10
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(1500) < 2 * peak(150) + 200_000


def test_a_job_of_endless_rows_is_cut() -> None:
    losses = Losses()
    rows = f"  open: {ZERO}\n" * 50_000

    (found,) = jobs_of(job(rows), losses)

    assert len(found.rows) <= 1024
    assert losses.counts["job_stats", "too many rows"] >= 1


def test_reading_can_be_stopped_between_chunks() -> None:
    read: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            read.append(number)
            yield JOBS

    jobs = list(iter_jobs(chunks(), Losses(), stop=lambda: len(read) > 3))

    assert len(read) == 4
    assert len(jobs) == 8


def select(criteria: JobCriteria, text: bytes = JOBS) -> list[str]:
    selection = JobSelection(criteria)
    return [j.job_id for j in [*selection.feed(jobs_of(text)), *selection.close()]]


@pytest.mark.parametrize(
    ("criteria", "chosen"),
    [
        (JobCriteria(), ["12345:1000:node0007", "dd.0", 'my app"']),
        (JobCriteria(include=re.compile(r"^dd")), ["dd.0"]),
        (JobCriteria(exclude=re.compile("node|app")), ["dd.0"]),
        (JobCriteria(least_operations=6), ["12345:1000:node0007", 'my app"']),
        (JobCriteria(top=1), ["12345:1000:node0007", 'my app"']),
        (JobCriteria(top=1, rank="bytes"), ["dd.0", 'my app"']),
        (JobCriteria(top=1, rank="time"), ["12345:1000:node0007", 'my app"']),
        (JobCriteria(top=9), ["12345:1000:node0007", "dd.0", 'my app"']),
    ],
    ids=["all", "include", "exclude", "least", "top", "top bytes", "top time", "top of few"],
)
def test_criteria_choose_jobs_of_each_target(criteria: JobCriteria, chosen: list[str]) -> None:
    assert select(criteria) == chosen


def test_what_criteria_leave_out_is_counted() -> None:
    selection = JobSelection(JobCriteria(exclude=re.compile("app"), top=1))

    selection.feed(jobs_of(JOBS))
    selection.close()

    assert (selection.filtered, selection.beyond_top) == (1, 1)
