"""Any bytes at all: no reader fails, none takes time that grows faster than its input."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emf_plugins_lustre.stats.exposition_compat import CompatExposition
from emf_plugins_lustre.stats.exposition_jobs import compat_jobs
from emf_plugins_lustre.stats.exposition_native import NativeExposition
from emf_plugins_lustre.stats.exposition_native_jobs import native_jobs
from emf_plugins_lustre.stats.job_reader import iter_jobs
from emf_plugins_lustre.stats.lines import LONGEST_LINE
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.record_json import job_json, record_json
from emf_plugins_lustre.stats.tagged_json import Spelling, tagged_json
from tests.lustre.stats.samples import RECORDED, lnet_of, records_of

OSS = (RECORDED / "oss.txt").read_bytes()
JOBS = (RECORDED / "jobs.txt").read_bytes()
LINES = (OSS + JOBS).splitlines(keepends=True)
NET = (RECORDED / "net_show.yaml").read_bytes()

shuffled = st.lists(st.sampled_from(LINES), max_size=60).map(b"".join)
noise = st.binary(max_size=300)


@st.composite
def damaged(draw: st.DrawFn, sample: bytes = OSS + JOBS) -> bytes:
    """A real output: cut, with bytes changed, or with noise put in."""
    begin = draw(st.integers(0, len(sample)))
    text = bytearray(sample[begin : begin + draw(st.integers(0, 4000))])
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=6))
    return bytes(text)


def read_everything(data: bytes) -> None:
    losses = Losses()
    records = records_of(data, losses)
    for exposition in (CompatExposition(), NativeExposition()):
        exposition.add_all(records)
        "".join(exposition.families.text()).encode("utf-8", "strict")
    for record in records:
        record_json(record)
    for spelling in Spelling:
        list(tagged_json(records, spelling))


def read_jobs(data: bytes, chunk: int) -> None:
    pieces = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    jobs = list(iter_jobs(pieces, Losses()))
    for job in jobs:
        job_json(job)
    for make in (compat_jobs, native_jobs):
        with make() as exposition:
            exposition.add(jobs)
            b"".join(exposition.text()).decode("utf-8", "strict")


@settings(max_examples=150, deadline=None)
@given(data=st.one_of(noise, shuffled, damaged()))
def test_no_output_of_lctl_breaks_the_readers(data: bytes) -> None:
    read_everything(data)


@settings(max_examples=150, deadline=None)
@given(data=st.one_of(noise, shuffled, damaged(JOBS)), chunk=st.integers(1, 5000))
def test_no_job_statistics_break_the_reader(data: bytes, chunk: int) -> None:
    read_jobs(data, chunk)


@settings(max_examples=100, deadline=None)
@given(data=st.one_of(noise, damaged(NET)))
def test_no_output_of_lnetctl_breaks_the_reader(data: bytes) -> None:
    exposition = NativeExposition()
    exposition.add_all(lnet_of(data))
    "".join(exposition.families.text()).encode("utf-8", "strict")


@settings(max_examples=60, deadline=None)
@given(data=st.one_of(shuffled, damaged(JOBS)), chunk=st.integers(1, 500))
def test_where_chunks_end_changes_nothing(data: bytes, chunk: int) -> None:
    def read(size: int) -> object:
        losses = Losses()
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        jobs = [(j.target, j.raw_id, j.rows, j.times) for j in iter_jobs(pieces, losses)]
        return jobs, losses.shown

    assert read(chunk) == read(max(1, len(data)))


@settings(max_examples=60, deadline=None)
@given(noise_at=st.integers(0, len(LINES)), line=st.binary(max_size=80))
def test_one_bad_line_never_costs_another_parameter(noise_at: int, line: bytes) -> None:
    line = line.replace(b"\n", b"").replace(b"\r", b"").replace(b"=", b"")
    lines = OSS.splitlines(keepends=True)
    at = noise_at % len(lines)
    before = {(r.kind, r.target, r.param, tuple(r.labels.items())) for r in records_of(OSS)}

    after = records_of(b"".join([*lines[:at], line + b"\n", *lines[at:]]))

    kept = {(r.kind, r.target, r.param, tuple(r.labels.items())) for r in after}
    assert len(before - kept) <= 1


HOSTILE = {
    "one endless line": b"a" * LONGEST_LINE * 3,
    "blanks": b"obdfilter.a-OST0000.stats=\n" + b" " * (LONGEST_LINE - 10) + b"x\n",
    "dots": b"a." * (LONGEST_LINE // 2 - 10) + b":\n",
    "digits": b"osd-zfs.a-OST0000.brw_stats=\nx a % cum %\n1: 1|" + b"1" * 200_000 + b"x\n",
    "digits of a row": b"mdt.a-MDT0000.md_stats=\nopen 1 samples [u] " + b"1 " * 100_000 + b"x\n",
    "words of a quota": b"qmt.a-QMT0000.dt-0x0.glb-usr=\n- id: 1\n  limits: {"
    + b"a" * 200_000
    + b"}\n",
    "user": b"mdd.a-MDT0000.changelog_users=\ncl1 1 " + b" " * 200_000 + b"(\n",
    "recovery": b"mdt.a-MDT0000.recovery_status=\nstatus: a" + b" " * 200_000 + b"\x00\n",
    "latency": b"osd-zfs.a-OST0000.io_latency_stats=\nrd_4K: {" + b"}" * 200_000 + b"x\n",
    "title": b"osd-zfs.a-OST0000.brw_stats=\n" + b"a " * 100_000 + b"% cum\n",
    "halves": b"osd-zfs.a-OST0000.brw_stats=\nread " + b"| " * 100_000 + b"x\n",
    "job row": b"mdt.a-MDT0000.job_stats=\n- job_id: x\n  open: { samples: 1, hist: {"
    + b" 4K: 1," * 30_000
    + b"\n",
    "job braces": b"mdt.a-MDT0000.job_stats=\n- job_id: x\n  open:" + b" " * 200_000 + b"{ s\n",
    "job number": b"mdt.a-MDT0000.job_stats=\n- job_id: x\n  open: { samples: "
    + b"9" * 200_000
    + b" }\n",
    "keys": b"memused=1\n" * 20_000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_input_is_read_in_linear_time(data: bytes) -> None:
    # No clock here: a reader that is quadratic in these would not come back for minutes.
    read_everything(data)
    read_jobs(data, 65_536)


def test_random_noise_between_chunks_of_real_output() -> None:
    chance = random.Random(7)
    data = b"".join(
        chance.choice((OSS, JOBS, bytes(chance.randrange(256) for _ in range(200))))
        for _ in range(40)
    )

    read_everything(data)
    read_jobs(data, 997)
