"""The simulated node: it remembers, its counters move, and the statistics' parsers read it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from emf_agent.command import CommandFailedError, run
from emf_plugins_lustre.stats.dump import read_dump
from emf_plugins_lustre.stats.lnet import read_lnet
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.parameters import asked_patterns
from emf_plugins_lustre.testing.node import SimulatedNode
from emf_plugins_lustre.testing.scenario import ROLES, Scenario
from tests.lustre.one_loop import anyio_backend

__all__ = ["anyio_backend"]
pytestmark = pytest.mark.anyio


async def asked(*words: str) -> str:
    return (await run(["lctl", *words], output_limit_bytes=2**24)).stdout.text


async def everything(*patterns: str) -> bytes:
    ended = await run(["lctl", "get_param", *patterns], ok_codes=(0, 2), output_limit_bytes=2**24)
    return ended.stdout.raw


@pytest.mark.parametrize("simulated_role", ROLES)
async def test_the_parsers_of_statistics_read_all_that_lctl_prints(
    simulated_node: SimulatedNode,
) -> None:
    simulated_node.advance(1000)
    losses = Losses("lctl")
    records = list(read_dump([await everything(*asked_patterns(None, extended=True))], losses))
    assert list(losses.shown) == []
    assert len(records) > 4


@pytest.mark.parametrize("what", ["net show -v 4", "stats show", "global show", "peer show -v 4"])
async def test_the_parsers_of_statistics_read_all_that_lnetctl_prints(
    simulated_node: SimulatedNode, what: str
) -> None:
    losses = Losses("lnetctl")
    ended = await run(["lnetctl", *what.split()])
    assert list(read_lnet(ended.stdout.raw, losses))
    assert list(losses.shown) == []


def samples(text: str, row: str) -> int:
    (line,) = [line for line in text.splitlines() if line.split()[:1] == [row]]
    return int(line.split()[1])


async def test_counters_move_with_time_and_stand_where_a_target_failed(
    simulated_node: SimulatedNode,
) -> None:
    name = "obdfilter.fs1-OST0000.stats"
    first = samples(await asked("get_param", name), "write_bytes")
    simulated_node.advance(100)
    second = samples(await asked("get_param", name), "write_bytes")
    assert second > first
    simulated_node.fail_target("fs1-OST0000")
    stopped = samples(await asked("get_param", name), "write_bytes")
    simulated_node.advance(100)
    assert samples(await asked("get_param", name), "write_bytes") == stopped
    health = await asked("get_param", "-n", "health_check")
    assert health == "device fs1-OST0000 reported unhealthy\nNOT HEALTHY\n"
    simulated_node.heal_target("fs1-OST0000")
    assert await asked("get_param", "-n", "health_check") == "healthy\n"


async def test_counters_begin_again_where_they_are_reset(simulated_node: SimulatedNode) -> None:
    name = "mdt.fs1-MDT0000.md_stats"
    before = samples(await asked("get_param", name), "open")
    await asked("set_param", "mdt.*.md_stats", "0")
    simulated_node.advance(10)
    assert 0 < samples(await asked("get_param", name), "open") < before


async def test_parameters_come_in_the_order_of_the_patterns(simulated_node: SimulatedNode) -> None:
    out = await asked("get_param", "-N", "obdfilter.*.{num_exports,tot_dirty}", "memused")
    assert out.splitlines() == [
        "obdfilter.fs1-OST0000.num_exports",
        "obdfilter.fs1-OST0001.num_exports",
        "obdfilter.fs1-OST0000.tot_dirty",
        "obdfilter.fs1-OST0001.tot_dirty",
        "memused",
    ]


async def test_what_exists_is_printed_although_another_pattern_matches_nothing(
    simulated_node: SimulatedNode,
) -> None:
    with pytest.raises(
        CommandFailedError, match=r"exit code: 2, stdout: memused=\d+\n, stderr: .*nope"
    ):
        await asked("get_param", "memused", "nope")


async def test_nodes_of_a_cluster_share_what_the_mgs_makes(
    simulated_nodes: Callable[[str], SimulatedNode],
) -> None:
    mgs, oss = simulated_nodes("mgs"), simulated_nodes("oss")
    with mgs.entered():
        await asked("pool_new", "fs1.flash")
    with oss.entered():
        assert await asked("pool_list", "fs1") == "Pools from fs1:\nfs1.flash\n"
        with pytest.raises(CommandFailedError, match="must be run on the MGS"):
            await asked("pool_new", "fs1.other")


async def test_an_injected_failure_can_be_counted_and_healed(simulated_node: SimulatedNode) -> None:
    simulated_node.fail_program("lctl", "pool_list", status=5, times=1)
    with pytest.raises(CommandFailedError, match="exit code: 5"):
        await asked("pool_list", "fs1")
    await asked("pool_list", "fs1")
    simulated_node.fail_program("lctl", status=6)
    with pytest.raises(CommandFailedError, match="exit code: 6"):
        await asked("dl")
    simulated_node.heal_programs()
    await asked("dl")


async def test_an_injected_pause_runs_into_a_time_limit(simulated_node: SimulatedNode) -> None:
    simulated_node.fail_program("lctl", "dl", pause_s=3600)
    with pytest.raises(Exception, match="timed out after"):
        await run(["lctl", "dl"], timeout_s=0.5, grace_s=0.1)


async def test_programs_that_run_at_once_lose_nothing(simulated_node: SimulatedNode) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(asked, "pool_new", f"fs1.p{number}")
    listed = await asked("pool_list", "fs1")
    assert len(listed.splitlines()) == 13
    assert len(simulated_node.calls("lctl")) == 13


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("nidz = []", "nidz", id="unknown key"),
        pytest.param('[targets.x]\nkind = "OSD"', "kind", id="unknown kind"),
        pytest.param("nids = [", "", id="no toml"),
    ],
)
async def test_a_scenario_with_a_mistake_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - every kind of it
        Scenario.of_file(tmp_path / "s.toml")
    assert fault in str(caught.value)


def test_an_unknown_role_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="no scenario 'mdt'; there are mgs, mds, oss"):
        Scenario.of_role("mdt")


def demo(*words: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "emf_plugins_lustre.testing", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_demo_makes_a_node_and_says_how_to_find_it(tmp_path: Path) -> None:
    made = demo("--role", "oss", tmp_path / "oss")
    assert made.stdout == f"EMF_AGENT_PROGRAM_PATH={tmp_path}/oss/bin\n"
    lctl = subprocess.run(
        [tmp_path / "oss/bin/lctl", "list_nids"], capture_output=True, text=True, check=True
    )
    assert lctl.stdout == "10.0.0.3@tcp\n"
    again = demo("--role", "oss", tmp_path / "oss")
    assert (again.returncode, again.stdout) == (1, "")
    assert "File exists" in again.stderr
