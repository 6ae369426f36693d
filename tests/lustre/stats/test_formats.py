"""The formats of single parameters, on samples of our own."""

from __future__ import annotations

import pytest

from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.parameters import GROUPS, PARAMETERS, asked_patterns, find
from emf_plugins_lustre.stats.records import (
    Bucket,
    Changelog,
    ChangelogUser,
    Health,
    Histograms,
    Names,
    QuotaLimits,
    QuotaUsage,
    Record,
    Recovery,
    Row,
    Rows,
    State,
)
from tests.lustre.stats.samples import RECORDED, lnet_of, one, records_of

OSS = RECORDED / "oss.txt"


def found(param: str, **labels: str) -> Record:
    records = [
        record
        for record in records_of(OSS.read_bytes())
        if record.param == param and labels.items() <= dict(record.labels).items()
    ]
    assert records, f"no record of {param}"
    return records[0]


def test_our_sample_is_read_with_one_loss_the_negative_number() -> None:
    losses = Losses("oss.txt")

    records_of(OSS.read_bytes(), losses)

    assert dict(losses.counts) == {("glb-usr", "negative number"): 1}
    assert losses.shown[0].line == 97


def test_a_value_of_the_node_has_kind_unit_and_no_target() -> None:
    assert one("memused=12\n") == Record("host", None, "memused", 12, "bytes")


def test_memory_below_zero_is_zero() -> None:
    assert found("lnet_memused").value == 0


def test_two_verdicts_are_one_and_name_the_devices() -> None:
    healths = [r for r in records_of(OSS.read_bytes()) if isinstance(r.value, Health)]

    assert [r.value for r in healths] == [
        Health(healthy=False, devices=("tank-OST0001", "tank-OST0001-osd"))
    ]


@pytest.mark.parametrize(
    ("text", "health"),
    [
        ("health_check=healthy\n", Health(healthy=True)),
        ("health_check=NOT HEALTHY\n", Health(healthy=False)),
        ("health_check=LBUG\n", Health(healthy=False)),
        (
            "health_check=device a-OST0001 reported unhealthy\nNOT HEALTHY\n",
            Health(healthy=False, devices=("a-OST0001",)),
        ),
    ],
    ids=["healthy", "not healthy", "lbug", "a device"],
)
def test_verdicts(text: str, health: Health) -> None:
    assert one(text).value == health


def test_clients_are_counted_without_servers_and_behind_any_nid() -> None:
    record = found("connected_clients")

    assert (record.kind, record.target, record.value) == ("mdt", "tank-MDT0000", 3)


def test_a_section_of_clients_printed_twice_counts_once_each_time() -> None:
    section = "mdt.a-MDT0000.exports.1@tcp.uuid=u1\n"

    together = records_of((section + section).encode())
    apart = records_of((section + "memused=1\n" + section).encode())

    assert [r.value for r in together] == [1]
    assert [r.value for r in apart if r.param == "connected_clients"] == [1, 1]


def test_stats_rows_keep_names_that_occur_twice_in_order() -> None:
    value = found("stats").value

    assert isinstance(value, Rows)
    assert [(row.name, row.samples) for row in value.rows][2:4] == [("statfs", 3), ("statfs", 4)]


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("open 3 samples [reqs]", Row("open", "reqs", 3)),
        ("open 3 samples [usecs] 1 2 3", Row("open", "usecs", 3, 1, 2, 3)),
        ("open 3 samples [usecs] 1 2 3 4", Row("open", "usecs", 3, 1, 2, 3, 4)),
        ("grant_rate 3 samples [locks/s] 1 2 -3 4", Row("grant_rate", "locks/s", 3, 1, 2, None, 4)),
        ("osd 3 samples [reqs]", Row("osd", "reqs", 3)),
        (
            "w 1 samples [bytes] 0 0 18446744073709551616",
            Row("w", "bytes", 1, 0, 0, 1 << 64),
        ),
    ],
    ids=["no columns", "three", "four", "below zero", "named like a subsystem", "beyond 64 bits"],
)
def test_one_stats_row(line: str, row: Row) -> None:
    record = one(f"mdt.a-MDT0000.md_stats=\nsnapshot_time 1.2 secs.nsecs\n{line}\n")

    assert record.value == Rows((row,))


def test_a_block_may_begin_on_the_line_of_its_key() -> None:
    record = one("ost.OSS.ost_io.stats=snapshot_time 1750000000.5 secs.nsecs\n")

    assert record.header is not None
    assert (record.value, record.header.snapshot_time) == (Rows(()), "1750000000.5")


def test_histograms_have_plain_numbers_and_unknown_sections_keep_their_title() -> None:
    value = found("brw_stats").value

    assert isinstance(value, Histograms)
    assert {section.name: section.buckets for section in value.sections} == {
        "pages": (Bucket(1, 2, 0), Bucket(1024, 2, 7)),
        "io_time_4096": (Bucket(2, 3, 4),),
        "some_future_section": (Bucket(1 << 20, 1, 1),),
    }


def test_latencies_join_reads_and_writes_of_a_size() -> None:
    value = found("io_latency_stats").value

    assert isinstance(value, Histograms)
    assert {section.name: section.buckets for section in value.sections} == {
        "io_time_1024K": (Bucket(1024, 0, 7),),
        "io_time_4K": (Bucket(256, 9, 0), Bucket(512, 1, 0)),
    }


def test_rpc_stats_of_clients_are_histograms_with_gauges() -> None:
    text = (
        "osc.a-OST0000-osc-ffff.rpc_stats=\n"
        "snapshot_time:         1589219474.393456 (secs.usecs)\n"
        "read RPCs in flight:  3\n"
        "pending write pages:  0\n"
        "\n\t\t\tread\t\t\twrite\n"
        "pages per rpc         rpcs   % cum % |       rpcs   % cum %\n"
        "1:\t\t         5  50  50   |          0   0   0\n"
        "2:\t\t         5  50 100   |          1 100 100\n"
    )

    value = one(text).value

    assert isinstance(value, Histograms)
    assert value.gauges == {"read_rpcs_in_flight": 3, "pending_write_pages": 0}
    assert value.sections[0].buckets == (Bucket(1, 5, 0), Bucket(2, 5, 1))


def test_quota_usage_reads_hexadecimal_ids() -> None:
    assert found("quota_slave.acct_user").value == QuotaUsage([0, 1001], [331, 7], [2000, 12])


def test_accounting_that_is_off_is_empty() -> None:
    assert found("quota_slave.acct_project").value == QuotaUsage([], [], [])


def test_quota_limits_keep_the_row_of_a_negative_cell() -> None:
    record = found("glb-usr")

    assert record.labels == {"manager": "dt", "pool": "0x0", "accounting": "user"}
    assert record.value == QuotaLimits(
        [0, 1337], [0, 309200], [0, 307200], [0, None], [604800, 1687277628]
    )


def test_a_quota_index_may_be_empty_and_a_tenant_replaces_the_pool() -> None:
    assert found("glb-grp").value == QuotaLimits([], [], [], [], [])
    assert found("glb-prj").labels == {
        "manager": "lqa-dt",
        "tenant": "acme",
        "accounting": "project",
    }


def test_recovery_keeps_the_kernel_s_word_and_splits_clients() -> None:
    assert found("recovery_status").value == Recovery(
        "RECOVERING",
        {
            "recovery_start": 1750000000,
            "time_remaining": 71,
            "connected_clients": 3,
            "total_clients": 7,
            "evicted_clients": 1,
        },
    )


def test_what_follows_a_recovery_is_read() -> None:
    assert found("state").kind == "osc"


def test_changelog_users_may_lack_idle_time_and_have_a_mask() -> None:
    assert found("changelog_users").value == Changelog(
        34,
        (
            ChangelogUser("cl1", 0, 327),
            ChangelogUser("cl2-backup", 34, 28, "CREAT,UNLNK"),
            ChangelogUser("cl3", 12),
        ),
    )


def test_an_import_has_its_state_and_history() -> None:
    value = found("state").value

    assert isinstance(value, State)
    assert (value.current, value.history[1]) == ("DISCONN", (1750000001, "EVICTED"))


def test_names_without_values_are_file_systems() -> None:
    record = one("mgs.MGS.live.params\nmgs.MGS.live.tank\nmgs.MGS.live.nodemap\n")

    assert (record.target, record.value) == ("MGS", Names(("tank",)))


@pytest.mark.parametrize(
    ("key", "kind", "target"),
    [
        ("obdfilter.my-fs-OST000a.num_exports", "ost", "my-fs-OST000a"),
        ("mgs.MGS.num_exports", "mgt", "MGS"),
        ("osd-zfs.MGS.filesfree", "mgt", "MGS"),
        ("osp.a-OST0001-osc-MDT0000.max_create_count", "ost", "a-OST0001-osc-MDT0000"),
        ("osp.a-MDT0001-osp-MDT0000.max_create_count", "mdt", "a-MDT0001-osp-MDT0000"),
        ("ldlm.namespaces.mdt-7zed-MDT0000_UUID.lock_count", "mdt", "7zed-MDT0000"),
    ],
)
def test_the_kind_of_a_target_is_in_its_name(key: str, kind: str, target: str) -> None:
    record = one(f"{key}=5\n")

    assert (record.kind, record.target, record.value) == (kind, target, 5)


@pytest.mark.parametrize(
    ("text", "survives", "reason"),
    [
        ("foo.bar.baz=3\nmemused=1\n", ["memused"], "unknown parameter"),
        ("new.thing.stats=\nline one\nmemused=1\n", ["memused"], "unknown parameter"),
        ("error: get_param: nothing\nmemused=1\n", ["memused"], "message"),
        ("hello\nmemused=1\n", ["memused"], "stray line"),
        ("memused=many\nmemused_max=1\n", ["memused_max"], "not a number"),
        (
            "mdt.a-MDT0000.md_stats=\nopen x samples\nclose 1 samples [reqs]\n",
            ["md_stats"],
            "unreadable row",
        ),
        ("osd-zfs.pool.filesfree=3\nmemused=1\n", ["memused"], "unknown target"),
        ("health_check=perhaps\nmemused=1\n", ["memused"], "unknown verdict"),
        ("x" * 300_000 + "\nmemused=1\n", ["memused"], "line too long"),
        (
            "obdfilter.a-OST0000.job_stats=\njob_stats:\nmemused=1\n",
            ["memused"],
            "job statistics not asked for",
        ),
    ],
)
def test_a_bad_line_costs_that_line_and_is_named(
    text: str, survives: list[str], reason: str
) -> None:
    losses = Losses("paste")

    records = records_of(text.encode(), losses)

    assert [record.param for record in records] == survives
    assert reason in {why for _, why in losses.counts}
    assert str(losses.shown[0]).startswith("paste:")


def test_losses_are_counted_beyond_what_is_shown() -> None:
    losses = Losses("paste", keep=2)

    records_of(b"hello\n" * 50, losses)

    assert (losses.total, len(losses.shown)) == (50, 2)


def test_carriage_returns_and_foreign_bytes_are_survived() -> None:
    records = records_of(b"memused=1\r\nversion=2.1\xff5\r\nmemused_max=2\r")

    assert [record.value for record in records] == [1, "2.1\N{REPLACEMENT CHARACTER}5", 2]


def test_the_reference_s_69_patterns_are_asked_for_in_its_order() -> None:
    patterns = asked_patterns(extended=False)

    assert len(patterns) == 69
    assert patterns[:5] == [
        "memused",
        "memused_max",
        "lnet_memused",
        "health_check",
        "mdt.*.exports.*.uuid",
    ]
    assert "ldlm.namespaces.{mdt-,filter-}*.lock_count" in patterns
    assert patterns[-1] == "mdt.*MDT*.recovery_status"


def test_groups_limit_what_is_asked_for() -> None:
    assert asked_patterns(frozenset({"changelog"})) == ["mdd.*.changelog_users"]
    assert asked_patterns(frozenset(GROUPS)) == asked_patterns()


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p.template)
def test_each_parameter_of_the_table_is_found_by_its_key(parameter: object) -> None:
    template = parameter.template  # type: ignore[attr-defined]
    key = template.format(
        target="a-OST0001",
        backend="zfs",
        role="filter",
        nid="10.0.0.1@tcp",
        manager="dt",
        pool="fast",
        service="x",
        fsname="a",
    )

    match = find(key)

    assert match is not None
    assert match.parameter.param == parameter.param  # type: ignore[attr-defined]


def test_interfaces_have_their_counters_types_and_health() -> None:
    values = {r.param: r.value for r in lnet_of((RECORDED / "net_show.yaml").read_bytes())}

    assert values["net.statistics.send_count"] == 11
    assert values["net.sent_stats.put"] == 9
    assert values["net.health_stats.no_route"] == 1
    assert values["net.status"] == "up"


def test_peers_are_told_apart_by_both_nids() -> None:
    records = lnet_of((RECORDED / "peer_show.yaml").read_bytes())

    assert {tuple(record.labels.items()) for record in records} == {
        (("primary_nid", "10.1.0.7@tcp"), ("nid", "10.1.0.7@tcp"))
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "show:\n    - net:\n          errno: -100\n          descr: down\n",
        "{}",
        "statistics:\n",
    ],
    ids=["empty", "lnet is down", "empty map", "empty section"],
)
def test_an_lnet_that_says_nothing_is_no_loss(text: str) -> None:
    losses = Losses()

    assert lnet_of(text.encode(), losses) == []
    assert losses.total == 0


def test_a_line_yaml_trips_over_is_taken_out_and_named() -> None:
    losses = Losses("net_show")
    text = (RECORDED / "net_show.yaml").read_text().replace("drop_count: 1", "drop_count: [1")

    records = lnet_of(text.encode(), losses)

    assert {r.param for r in records} >= {"net.statistics.send_count"}
    assert losses.total >= 1
