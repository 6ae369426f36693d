"""Expositions: the compatible one with its quirks, the native one, and jobs in a stream."""

from __future__ import annotations

import re
import tracemalloc

import pytest

from emf_plugins_lustre.stats.compat_families import COMPAT_FAMILIES, JOB_FAMILIES
from emf_plugins_lustre.stats.exposition_compat import CompatExposition
from emf_plugins_lustre.stats.exposition_jobs import JobExposition, compat_jobs
from emf_plugins_lustre.stats.exposition_native import NativeExposition
from emf_plugins_lustre.stats.exposition_native_jobs import native_jobs
from emf_plugins_lustre.stats.exposition_text import Families
from emf_plugins_lustre.stats.job_reader import iter_jobs
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.native_families import NATIVE_FAMILIES, NATIVE_JOB_FAMILIES
from emf_plugins_lustre.stats.own_metrics import OWN_FAMILIES, Cost, own_families
from tests.lustre.stats.samples import RECORDED, compat_text, lnet_of, one, records_of

SAMPLE = re.compile(r'[a-zA-Z_:][\w:]*\{(?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*\} [0-9.e+-]+')
OSS = (RECORDED / "oss.txt").read_bytes()
JOBS = (RECORDED / "jobs.txt").read_bytes()


def everything() -> tuple[Families, Families]:
    compat, native = CompatExposition(), NativeExposition()
    for exposition in (compat, native):
        exposition.add_all(records_of(OSS))
        for name in ("net_show", "stats_show", "peer_show"):
            exposition.add_all(lnet_of((RECORDED / f"{name}.yaml").read_bytes()))
    return compat.families, native.families


def text_of(jobs: JobExposition, data: bytes = JOBS) -> str:
    with jobs:
        jobs.add(iter_jobs([data], Losses()))
        return b"".join(jobs.text()).decode()


@pytest.mark.parametrize("index", [0, 1], ids=["compat", "native"])
def test_each_line_is_a_sample_of_a_known_family(index: int) -> None:
    families = everything()[index]
    known = {family.name for family in families.known}

    assert set(families.samples) <= known
    for line in "".join(families.text()).splitlines():
        assert line.startswith("# ") or SAMPLE.fullmatch(line), line


def test_the_reference_has_102_families() -> None:
    assert len({family.name for family in (*COMPAT_FAMILIES, *JOB_FAMILIES)}) == 102


def test_native_names_have_one_prefix_and_base_units() -> None:
    for family in (*NATIVE_FAMILIES, *NATIVE_JOB_FAMILIES, *OWN_FAMILIES):
        assert family.name.startswith("emf_lustre_")
        assert (family.kind == "counter") == family.name.endswith("_total"), family.name
        assert not re.search(r"_(kbytes|kilobytes|ms|usecs?|milliseconds)(_|$)", family.name)


def test_no_family_is_declared_twice() -> None:
    names = [family.name for family in (*NATIVE_FAMILIES, *NATIVE_JOB_FAMILIES, *OWN_FAMILIES)]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("text", "sample"),
    [
        ("memused_max=7\n", "lustre_mem_used_max{} 7"),
        (
            "obdfilter.a-OST0000.exports.1@tcp.stats=\nopen 2 samples [usecs] 1 2 3\n",
            (
                'lustre_client_export_milliseconds_total{component="ost",name="open",nid="1@tcp",'
                'target="a-OST0000",units="usecs"} 3'
            ),
        ),
        (
            "qmt.a-QMT0000.dt-0x0.glb-usr=\n- id: 1\n  limits: { hard: 5, soft: 6, granted: 7 }\n",
            'lustre_quota_hard{accounting="user",id="1",manager="dt",pool="",target="a-QMT0000"} 5',
        ),
        (
            "mdd.a-MDT0000.changelog_users=\ncurrent_index: 4\ncl1 2 (9)\n",
            'lustre_changelog_user_idle_sec{user="cl1"} 9',
        ),
        (
            "mdt.a-MDT0000.recovery_status=status: DANCING\n",
            'recovery_status{kind="MDT",target="a-MDT0000"} 5',
        ),
        (
            "osp.a-OST0001-osc-MDT0000.active=0\n",
            'lustre_osp_active{component="ost",target="a-OST0001-osc-MDT0000"} 0',
        ),
    ],
    ids=["no labels", "microseconds", "default pool", "idle", "unknown recovery", "import"],
)
def test_quirks_of_the_reference_are_kept(text: str, sample: str) -> None:
    assert sample in compat_text([one(text)]).splitlines()


def test_the_first_of_two_equal_buckets_counts_and_other_counters_add_up() -> None:
    brw = (
        "osd-zfs.a-OST0000.brw_stats=\nsnapshot_time: 1.0 secs.nsecs\n"
        "disk I/O size          ios   % cum % |  ios         % cum %\n4K: {} 0 0 | 0 0 0\n"
    )
    stats = "mdt.a-MDT0000.md_stats=\nopen {} samples [usecs] 1 2 3\n"
    dump = brw.format(5) + stats.format(3) + brw.format(6) + stats.format(4)

    lines = compat_text(records_of(dump.encode())).splitlines()

    place = 'component="ost",operation="read",size="4096",target="a-OST0000"'
    assert f"lustre_disk_io_total{{{place}}} 5" in lines
    place = 'component="mdt",operation="open",target="a-MDT0000"'
    assert f"lustre_stats_total{{{place}}} 7" in lines
    assert f"lustre_stats_time_min{{{place}}} 2" in lines


def test_the_last_start_time_of_a_target_wins() -> None:
    block = "{}=\nsnapshot_time 9.0 secs.nsecs\nstart_time {} secs.nsecs\n"
    dump = block.format("osd-zfs.a-OST0000.stats", "5.5") + block.format(
        "obdfilter.a-OST0000.stats", "7.9"
    )

    text = compat_text(records_of(dump.encode()))

    assert 'lustre_stats_start_time{component="ost",target="a-OST0000"} 7\n' in text


def test_label_values_are_escaped_where_the_reference_does_not() -> None:
    text = text_of(compat_jobs())

    assert 'jobid="my\\\\x20app\\\\x22"' in text


def test_an_ost_job_gives_sizes_and_the_ten_operations_zero_or_not() -> None:
    lines = text_of(compat_jobs()).splitlines()

    place = 'component="ost",jobid="12345:1000:node0007"'
    ours = [line for line in lines if place in line]
    assert f'lustre_job_write_maximum_size_bytes{{{place},operation="write_bytes",' in "".join(ours)
    assert not any('operation="prealloc"' in line or 'operation="write",' in line for line in ours)
    assert len(ours) == 9


def test_cells_an_old_server_does_not_print_are_no_samples() -> None:
    data = (
        b"obdfilter.a-OST0000.job_stats=\njob_stats:\n- job_id: x\n"
        b"  read_bytes: { samples: 3, unit: bytes }\n"
    )

    lines = [line for line in text_of(compat_jobs(), data).splitlines() if line[0] != "#"]

    assert [line.partition("{")[0] for line in lines] == ["lustre_job_read_samples_total"]


def test_of_an_id_printed_twice_the_last_snapshot_wins() -> None:
    entry = b"- job_id: x\n  open: { samples: %d, unit: usecs, min: 1, max: 1, sum: 1, sumsq: 1 }\n"
    data = b"mdt.a-MDT0000.job_stats=\njob_stats:\n" + entry % 3 + entry % 8
    jobs = compat_jobs()

    lines = [line for line in text_of(jobs, data).splitlines() if line[0] != "#"]

    assert [line.rpartition(" ")[2] for line in lines] == ["8"]
    assert (jobs.jobs, jobs.duplicates) == (1, 1)


def big_dump(count: int) -> bytes:
    entry = (
        "- job_id: job.{}\n"
        "  open: {{ samples: 5, unit: usecs, min: 1, max: 1, sum: 1, sumsq: 1 }}\n"
        "  close: {{ samples: 6, unit: usecs, min: 1, max: 1, sum: 1, sumsq: 1 }}\n"
    )
    entries = "".join(entry.format(number) for number in range(count))
    return f"mdt.a-MDT0000.job_stats=\njob_stats:\n{entries}".encode()


def test_a_dump_beyond_the_window_is_whole_and_has_no_series_twice() -> None:
    data = big_dump(9000)
    jobs = compat_jobs()

    text = text_of(jobs, data + data.partition(b"job_stats:\n")[2])

    lines = [line for line in text.splitlines() if line[0] != "#"]
    series = {line.rpartition(" ")[0] for line in lines}
    assert len(lines) == len(series) == 18_000
    assert (jobs.jobs, jobs.duplicates) == (9000, 9000)
    assert text.count("# TYPE") == 1


@pytest.mark.slow  # tracing every allocation of 15,000 jobs takes two seconds
def test_the_text_of_many_jobs_is_not_held_in_memory() -> None:
    def peak(count: int) -> int:
        pieces = [big_dump(count)[at : at + 65_536] for at in range(0, count * 170, 65_536)]
        with compat_jobs() as jobs:
            tracemalloc.start()
            try:
                jobs.add(iter_jobs(pieces, Losses()))
                assert sum(len(piece) for piece in jobs.text()) > count * 150
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    # 9000 more jobs are 1.8 MB more text; what grows is one number for each job, up to a limit.
    assert peak(12_000) < peak(3_000) + 1_200_000


def test_native_jobs_have_latencies_sizes_and_times() -> None:
    lines = text_of(native_jobs()).splitlines()

    place = 'job="12345:1000:node0007",kind="ost",target="tank-OST0001"'
    wanted = [
        f'emf_lustre_job_operation_seconds_total{{{place},operation="write"}} 6e-05',
        f'emf_lustre_job_bytes_total{{{place},operation="write_bytes"}} 1056768',
        f'emf_lustre_job_ios_by_bytes_total{{{place},operation="write_bytes",bucket="4096"}} 2',
        f"emf_lustre_job_start_seconds{{{place}}} 1750000000.123456789",
    ]
    assert [line for line in wanted if line not in lines] == []


def test_native_values_are_in_base_units() -> None:
    text = "".join(everything()[1].text())

    wanted = [
        'emf_lustre_target_free_bytes{kind="ost",target="tank-OST0001",backend="zfs"} 4608000',
        (
            "emf_lustre_target_operation_seconds_max"
            '{kind="mdt",target="tank-MDT0000",source="mdt",operation="open"} 9.1e-05'
        ),
        'emf_lustre_target_evictions_total{kind="ost",target="tank-OST0001"} 4',
        'emf_lustre_target_clients{kind="ost",target="tank-OST0001"} 1',
        'emf_lustre_changelog_user_lag_records{target="tank-MDT0000",user="cl3"} 22',
        (
            "emf_lustre_lnet_peer_messages_total"
            '{primary_nid="10.1.0.7@tcp",nid="10.1.0.7@tcp",direction="sent"} 5'
        ),
        'emf_lustre_import_connected{target="tank-OST0001-osc-MDT0000"} 0',
        'emf_lustre_ldlm_lru_max_age_seconds{kind="ost",target="tank-OST0001"} 3900',
    ]
    assert [line for line in wanted if line not in text.splitlines()] == []


def test_samples_are_sorted_by_label_text_however_many_there_are() -> None:
    families = Families(COMPAT_FAMILIES)
    for number in range(9001, 0, -1):
        families.put("lustre_quota_hard", f'id="{number}"', number)

    labels = [line.partition("{")[2] for line in "".join(families.text()).splitlines()[2:]]

    assert len(labels) == 9001
    assert labels == sorted(labels)


def test_the_cost_of_a_reading_is_metrics() -> None:
    losses = Losses()
    losses.note("md_stats", 3, "unreadable row")
    cost = Cost(wall_seconds=0.5, jobs=7, left_out={"zero_rows": 4}, failures={"lctl": "late"})

    text = "".join(own_families(cost, age_seconds=2.0, lost=losses).text())

    assert "emf_lustre_scrape_duration_seconds{} 0.5" in text
    assert "emf_lustre_scrape_age_seconds{} 2.0" in text
    assert "emf_lustre_scrape_partial{} 1" in text
    assert 'emf_lustre_left_out{reason="zero_rows"} 4' in text
    assert 'emf_lustre_lost_lines_total{param="md_stats",reason="unreadable row"} 1' in text
