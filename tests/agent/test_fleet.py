"""The kit of simulated fleets, apart from TLS: its network, its orders, what a light node tells."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.errors import ActionError, ManagerUnreachableError
from emf_agent.testing import FakeManager
from emf_agent.testing.fleet import BadOrderError, Fleet, Network, NodePlan, light_registry, obey
from emf_agent.testing.fleet.__main__ import lines_of
from emf_agent.testing.fleet.light import fail, load_of, share_of, standing_on
from emf_agent.transport import PollQuery

QUERY = PollQuery("boot", "start")
URL = "https://manager"

REAL_TIME = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

pytestmark = pytest.mark.anyio


async def poll_for_a_while(network: Network, timeout_s: float = 60.0) -> None:
    door = network.behind(FakeManager(poll_s=25), URL)
    await door.poll(QUERY, timeout_s=timeout_s)


async def test_a_whole_network_carries_an_answer() -> None:
    manager = FakeManager(poll_s=25)

    await Network().behind(manager, URL).poll(QUERY, timeout_s=60)

    assert manager.polls == 1


async def test_a_cut_breaks_what_hangs_at_once() -> None:
    network = Network()
    began = anyio.current_time()

    async with anyio.create_task_group() as tasks:

        async def cut_later() -> None:
            await anyio.sleep(5)
            network.cut()

        tasks.start_soon(cut_later)
        with pytest.raises(ManagerUnreachableError, match="cut"):
            await poll_for_a_while(network)

    assert anyio.current_time() - began == pytest.approx(5, abs=0.1)


async def test_a_request_over_a_cut_network_fails_and_after_mending_succeeds() -> None:
    network = Network()
    network.cut()
    with pytest.raises(ManagerUnreachableError):
        await poll_for_a_while(network)

    network.heal()

    await poll_for_a_while(network)


async def test_a_network_that_hangs_gives_nothing_until_the_patience_is_over() -> None:
    network = Network()
    network.hang()
    began = anyio.current_time()

    with pytest.raises(ManagerUnreachableError, match="in time"):
        await poll_for_a_while(network, timeout_s=40)

    assert anyio.current_time() - began == pytest.approx(40, abs=0.1)


async def test_an_answer_that_came_while_it_hung_is_delivered_after_mending() -> None:
    network = Network()
    began = anyio.current_time()

    async with anyio.create_task_group() as tasks:

        async def hang_for_a_while() -> None:
            await anyio.sleep(5)
            network.hang()
            await anyio.sleep(30)
            network.heal()

        tasks.start_soon(hang_for_a_while)
        await poll_for_a_while(network)

    assert anyio.current_time() - began == pytest.approx(35, abs=0.1)


def fleet_of(folder: Path, *names: str) -> Fleet:
    registry = light_registry()
    return Fleet([NodePlan(name, folder / name, registry) for name in names], URL)


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [("oss*", 2), ("oss01", 1), ("oss01.example.com", 1), ("*.example.com", 3), ("mds9", 0)],
)
def test_nodes_are_named_in_full_in_short_or_by_a_pattern(
    tmp_path: Path, pattern: str, matching: int
) -> None:
    fleet = fleet_of(tmp_path, "oss01.example.com", "oss02.example.com", "mds01.example.com")

    assert obey(fleet, f"cut {pattern}") == matching
    cut = [node for node in fleet.nodes.values() if node.network.condition == "cut"]
    assert len(cut) == matching
    assert obey(fleet, "heal *") == 3
    assert all(node.network.condition == "whole" for node in fleet.nodes.values())


@pytest.mark.parametrize(
    "line", ["", "kill", "kill oss01 soon", "kill oss01 -1", "kill a 1 2", "burn oss01", "cut"]
)
def test_an_order_that_nobody_understands_is_refused_with_those_there_are(
    tmp_path: Path, line: str
) -> None:
    with pytest.raises(BadOrderError, match="kill PATTERN"):
        obey(fleet_of(tmp_path, "oss01"), line)


def test_two_nodes_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one name"):
        fleet_of(tmp_path, "oss01", "oss01")


@given(st.text(min_size=1, max_size=20), st.floats(1e9, 2e9), st.floats(0, 3600))
def test_a_load_is_plausible_and_its_counters_never_fall(
    name: str, now: float, later: float
) -> None:
    before, after = load_of(name, now), load_of(name, now + later)

    for load in (before, after):
        assert 0 <= load.cpu_percent <= 100
        assert 0 <= load.memory_percent <= 100
    started_anew = now // (30 * 86_400) != (now + later) // (30 * 86_400)
    assert started_anew or after.read_bytes >= before.read_bytes >= 0
    assert started_anew or after.written_bytes >= before.written_bytes >= 0


def test_two_nodes_measure_different_things() -> None:
    assert load_of("oss01", 1.7e9) != load_of("oss02", 1.7e9)
    assert load_of("oss01", 1.7e9) == load_of("oss01", 1.7e9)


async def test_an_action_fails_on_its_share_of_the_nodes_always_the_same() -> None:
    failing = 0
    for number in range(100):
        standing_on.set(name := f"oss{number:03}")
        if share_of(name, "fail") * 100 < 30:
            failing += 1
            with pytest.raises(ActionError, match="because"):
                await fail("because", 30)
        else:
            assert await fail("because", 30) == "did not fail"

    assert 10 < failing < 50


def test_the_catalogue_of_a_light_node_marks_its_series() -> None:
    (daemon,) = light_registry().catalogue()[1]

    properties = daemon.payload_schema["properties"]
    assert properties["cpu_percent"]["x-emf-series"] == {"kind": "gauge", "unit": "percent"}
    assert properties["read_bytes"]["x-emf-series"] == {"kind": "counter", "unit": "bytes"}


@REAL_TIME
@pytest.mark.parametrize(
    ("sent", "lines"),
    [
        ([b"cut a\nheal a\n"], ["cut a", "heal a"]),
        ([b"cu", b"t a\n\n", b"  \nheal"], ["cut a"]),
        ([b"\xff\xfe\n"], ["\ufffd\ufffd"]),
        ([], []),
    ],
    ids=["two at once", "in pieces", "no text", "nothing"],
)
async def test_orders_are_read_line_by_line(sent: list[bytes], lines: list[str]) -> None:
    reading, writing = os.pipe()
    for piece in sent:
        os.write(writing, piece)
    os.close(writing)
    try:
        assert [line async for line in lines_of(reading)] == lines
    finally:
        os.close(reading)


@REAL_TIME
async def test_an_input_that_cannot_be_waited_for_gives_no_orders() -> None:
    with Path(os.devnull).open("rb") as nothing, anyio.fail_after(5):
        assert [line async for line in lines_of(nothing.fileno())] == []
