"""The daemon ``stats`` on a node of scripts: records, faults, what is partial and what is late."""

from __future__ import annotations

import json
import logging
from typing import Any

import anyio
import pytest

from emf_agent.plugin import DaemonFault, NotApplicableError
from emf_agent.testing import sample_daemon
from emf_plugins_lustre.stats import plugin
from emf_plugins_lustre.stats.collect import Reading, Wanted, collect
from emf_plugins_lustre.stats.daemon import Stats
from emf_plugins_lustre.stats.job_pipeline import JobPipeline
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.records import Job
from emf_plugins_lustre.stats.settings import StatsSettings
from tests.lustre.stats.conftest import ShellNode

pytestmark = pytest.mark.anyio

TARGETS = (
    "tank-ost1/ost1 /mnt/ost1 lustre ro,svname=tank-OST0001,mgsnode=10.1.0.1@tcp,osd=osd-zfs 0 0\n"
)


def stats(node: ShellNode, **settings: Any) -> Stats:
    return Stats(StatsSettings.model_validate(settings), proc=node.proc)


def tags(payload: list[dict[str, Any]]) -> list[str]:
    return [
        f"{group}.{tag}" for item in payload for group, tagged in item.items() for tag in tagged
    ]


async def test_all_families_are_sent_in_the_ancestor_s_order(node: ShellNode) -> None:
    payload = await stats(node).start_session()

    found = tags(payload)
    assert found[:4] == ["Host.Memused", "Host.MemusedMax", "Host.LNetMemUsed", "Host.HealthCheck"]
    order = ["Host.Memused", "LNetStat.SendCount", "Node.MemTotal", "Node.CpuTotal"]
    assert sorted(order, key=found.index) == order
    assert found[-3:] == ["Target.JobStatsOst", "Target.JobStatsOst", "Target.JobStatsMdt"]
    assert {"Target.QuotaStats", "Target.Changelog", "Target.ExportStats"} <= set(found)


async def test_values_have_the_ancestor_s_shape_and_a_unit(node: ShellNode) -> None:
    payload = await stats(node).start_session()

    assert {"Host": {"Memused": {"param": "memused", "value": 1048576, "unit": "bytes"}}} in payload
    assert {
        "Target": {
            "BytesFree": {
                "kind": "OST",
                "param": "kbytesfree",
                "target": "tank-OST0001",
                "value": 4500 * 1024,
                "unit": "bytes",
            }
        }
    } in payload
    assert {
        "Node": {"CpuTotal": {"param": "cpu_total", "value": 453, "unit": "jiffies"}}
    } in payload


async def test_the_ancestor_s_shape_holds_nothing_its_managers_do_not_know(node: ShellNode) -> None:
    payload = await stats(node, shape="ancestor").start_session()

    assert {"Host": {"Memused": {"param": "memused", "value": 1048576}}} in payload
    assert not {"Target.QuotaStats", "Target.JobStatsOst", "Target.OspActive"} & set(tags(payload))
    assert '"unit"' not in json.dumps(payload).replace('"unit": "rpcs"', "").replace(
        '"unit": "ios"', ""
    )
    health = next(item["Host"]["HealthCheck"] for item in payload if "HealthCheck" in str(item))
    assert health["value"].endswith("NOT HEALTHY")


async def test_a_life_of_start_and_updates(node: ShellNode) -> None:
    daemon = stats(node, jobs=False)
    daemon.__class__ = type("Fast", (Stats,), {"interval_s": 0.0})

    samples = [sample async for sample in sample_daemon(daemon, updates=1)]

    assert [sample.phase for sample in samples] == ["start", "update"]
    assert samples[0].value == samples[1].value


@pytest.mark.parametrize(
    ("printed", "settings", "mounts", "says"),
    [
        (b"memused=1\n", {"expect": ["oss"]}, "", "no OST found"),
        (b"memused=1\n", {"expect": ["mds", "mgs"]}, "", "no MGT found"),
        (b"", {"expect": ["client"]}, "", "no client mount found"),
        (b"memused=1\n", {}, TARGETS, "tank-OST0001 mounted here"),
        (b"memused=1\n", {}, "10.1.0.1@tcp:/tank /mnt lustre rw 0 0\n", "client is mounted here"),
    ],
    ids=["oss", "mds and mgs", "client", "mounted target", "mounted client"],
)
async def test_nothing_found_where_something_must_be_is_a_fault(
    node: ShellNode, printed: bytes, settings: dict[str, Any], mounts: str, says: str
) -> None:
    node.prints("get_param", printed)
    node.mounts(mounts)

    with pytest.raises(DaemonFault, match=says):
        await stats(node, **settings).start_session()


async def test_expectations_that_are_met_are_silent(node: ShellNode) -> None:
    node.mounts(TARGETS)

    assert await stats(node, expect=["oss", "mds", "client"]).update_session()


async def test_a_node_without_lctl_is_no_place_unless_a_role_expects_one(node: ShellNode) -> None:
    node.remove("lctl", "lnetctl")

    with pytest.raises(NotApplicableError, match="no lctl"):
        await stats(node).start_session()
    with pytest.raises(DaemonFault, match=r"no OST found.*not found"):
        await stats(node, expect=["oss"]).start_session()
    with pytest.raises(DaemonFault, match="no longer"):
        await stats(node).update_session()


async def test_exit_status_of_lctl_means_nothing(node: ShellNode) -> None:
    node.exits("get_param", 2)

    assert await stats(node, expect=["oss"]).start_session()


@pytest.mark.slow  # two seconds of real time: the programs must have them on a loaded machine
async def test_an_lctl_that_is_late_is_read_as_far_as_it_came(node: ShellNode) -> None:
    node.hangs("get_param")

    reading = await collect(Wanted(timeout_s=2.0))

    assert reading.cost.failures == {"lctl get_param": "timeout"}
    assert any(record.target == "tank-OST0001" for record in reading.records)


async def test_a_missing_lnetctl_costs_only_lnet(node: ShellNode) -> None:
    node.remove("lnetctl")

    payload = await stats(node, expect=["oss"]).start_session()

    assert not [tag for tag in tags(payload) if tag.startswith("LNetStat")]


async def test_settings_choose_what_is_asked_for(node: ShellNode) -> None:
    await stats(node, groups=["changelog"], lnet=False, jobs=False).start_session()

    (call,) = node.calls
    assert call.endswith("lctl get_param mdd.*.changelog_users")


async def test_only_the_busiest_jobs_are_sent(node: ShellNode) -> None:
    payload = await stats(node, sent_jobs=1, job={"rank": "bytes"}).start_session()

    jobs = [
        body["value"]["job_id"]
        for item in payload
        for body in item.get("Target", {}).values()
        if body["param"] == "job_stats"
    ]
    assert jobs == ["dd.0", 'my app"']


async def test_what_grows_with_clients_and_users_is_cut_and_confessed(node: ShellNode) -> None:
    export = b"obdfilter.a-OST0001.exports.%d@tcp.stats=\nopen %d samples [reqs]\n"
    node.prints(
        "get_param",
        b"".join(export % (number, number) for number in (3, 9, 5))
        + b"osd-zfs.a-OST0001.quota_slave.acct_user=\n"
        + b"".join(
            b"- id: %d\n  usage: { inodes: 1, kbytes: %d }\n" % (number, number % 4)
            for number in (1, 2, 3, 4)
        ),
    )

    payload = await stats(node, sent_exports=2, sent_quota_ids=2, jobs=False).start_session()

    nids = [
        body["value"][0]["nid"]
        for item in payload
        for tag, body in item.get("Target", {}).items()
        if tag == "ExportStats"
    ]
    (usage,) = [i["Target"]["QuotaStatsOsd"] for i in payload if "QuotaStatsOsd" in str(i)]
    assert nids == ["9@tcp", "5@tcp"]
    assert [row["id"] for row in usage["value"]["stats"]] == [2, 3]
    assert {"Node": {"LeftOut": {"param": "exports.stats", "value": 1, "unit": "count"}}} in payload
    left = {"param": "quota_slave.acct_user", "value": 2, "unit": "count"}
    assert {"Node": {"LeftOut": left}} in payload


async def test_jobs_are_streamed_and_accounted_for(node: ShellNode) -> None:
    jobs: list[Job] = []

    def pipeline(losses: Losses) -> JobPipeline:
        return JobPipeline(losses, jobs.extend, skip_zero_rows=True)

    reading = await collect(Wanted(), pipeline)

    assert len(jobs) == reading.cost.jobs == 3
    assert reading.cost.left_out == {"zero_rows": 3, "filtered_jobs": 0, "jobs_beyond_top": 0}
    assert reading.cost.bytes > len((node.folder / "get_param").read_bytes())


async def test_reading_can_be_cancelled_and_takes_its_commands_along(node: ShellNode) -> None:
    node.hangs("get_param")
    node.hangs("job_stats")
    done = anyio.Event()
    readings: list[Reading] = []

    async def read() -> None:
        try:
            readings.append(
                await collect(Wanted(), lambda losses: JobPipeline(losses, list[Job]().extend))
            )
        finally:
            done.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            while len(node.calls) < 5:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        await done.wait()

    assert readings == []


async def test_a_kind_of_loss_is_logged_once(
    node: ShellNode, caplog: pytest.LogCaptureFixture
) -> None:
    node.prints("get_param", b"foo.a=1\nfoo.b=2\nmemused=1\n")
    daemon = stats(node, jobs=False)

    with caplog.at_level(logging.WARNING, logger="emf_plugins_lustre"):
        await daemon.start_session()
        await daemon.update_session()

    assert [record.getMessage() for record in caplog.records] == [
        "unreadable lctl get_param:1: unknown: unknown parameter: 'foo.a'"
    ]


async def test_the_plugin_offers_the_daemon_and_no_listener_of_itself() -> None:
    settings = plugin.emf_settings()()

    (factory,) = plugin.emf_daemons(settings)
    assert factory().name == "stats"
    assert plugin.emf_metrics(settings) == []
    assert len(plugin.emf_metrics(StatsSettings(listen="127.0.0.1:0"))) == 1
