"""The Prometheus listener: real sockets, one reading for many scrapes, limits that hold."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import httpx
import pytest

from emf_plugins_lustre.stats.collect import JOB_PATTERNS
from emf_plugins_lustre.stats.listener import Listener
from emf_plugins_lustre.stats.scrapes import Ask, Scrapes
from emf_plugins_lustre.stats.settings import StatsSettings
from tests.lustre.stats.conftest import ShellNode

pytestmark = pytest.mark.anyio
GENEROUS_S = 30.0


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    listener = Listener(StatsSettings.model_validate({"listen": "127.0.0.1:0", **settings}))
    listener.bound = anyio.Event()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener)
            await listener.bound.wait()
            url = f"http://127.0.0.1:{listener.port}"
            async with httpx.AsyncClient(base_url=url, timeout=GENEROUS_S) as client:
                yield client
            tasks.cancel_scope.cancel()


def samples(text: str) -> dict[str, float]:
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in text.splitlines())
        if name[:1] not in {"#", ""}
    }


async def test_a_scrape_is_the_exporter_s_and_its_cost(node: ShellNode) -> None:
    async with served() as client:
        response = await client.get("/metrics")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(response.text)
    assert found["lustre_mem_used{}"] == 1048576
    assert found['lustre_send_count_total{nid="10.1.0.1@tcp"}'] == 11
    assert found["emf_lustre_scrape_partial{}"] == 0
    assert found["emf_lustre_read_records{}"] > 30
    assert found['emf_lustre_lost_lines_total{param="glb-usr",reason="negative number"}'] == 1
    assert not any(name.startswith("lustre_job_") for name in found)
    assert response.text.endswith("# EOF\n")


async def test_a_head_request_has_no_body_and_the_connection_goes_on(node: ShellNode) -> None:
    async with served() as client:
        head = await client.head("/metrics")
        response = await client.get("/metrics")

    assert (head.status_code, head.content) == (200, b"")
    assert response.status_code == 200


async def test_compat_asks_for_the_reference_s_patterns_alone(node: ShellNode) -> None:
    async with served() as client:
        await client.get("/metrics")

    (call,) = [call for call in node.calls if "get_param" in call]
    assert len(call.split()) == 2 + 69


async def test_jobs_come_when_asked_for(node: ShellNode) -> None:
    async with served() as client:
        response = await client.get("/metrics", params={"jobstats": "true"})

    found = samples(response.text)
    assert found["emf_lustre_read_jobs{}"] == 3
    assert any(name.startswith("lustre_job_stats_total{") for name in found)
    assert any(JOB_PATTERNS[0] in call for call in node.calls)


async def test_the_native_mode_may_be_asked_for(node: ShellNode) -> None:
    async with served() as client:
        response = await client.get("/metrics", params={"mode": "native", "jobstats": "true"})

    found = samples(response.text)
    assert found['emf_lustre_target_evictions_total{kind="ost",target="tank-OST0001"}'] == 4
    assert found['emf_lustre_left_out{reason="zero_rows"}'] == 3


async def test_scrapes_at_one_time_share_one_reading(node: ShellNode) -> None:
    async with served(cache_s=60) as client:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(client.get, "/metrics")
        await client.get("/metrics")

    assert len([call for call in node.calls if "get_param" in call]) == 1


async def test_without_a_cache_each_scrape_reads(node: ShellNode) -> None:
    async with served(cache_s=0) as client:
        await client.get("/metrics")
        await client.get("/metrics")

    assert len([call for call in node.calls if "get_param" in call]) == 2


async def test_a_failed_command_is_a_partial_scrape_and_a_counter(node: ShellNode) -> None:
    node.remove("lnetctl")

    async with served(cache_s=0) as client:
        await client.get("/metrics")
        found = samples((await client.get("/metrics")).text)

    assert found["emf_lustre_scrape_partial{}"] == 1
    failed = 'emf_lustre_command_failures_total{command="lnetctl net show",reason="not found"}'
    assert found[failed] == 2


async def test_text_is_packed_for_those_who_take_it(node: ShellNode) -> None:
    async with served() as client:
        plain = await client.get("/metrics", headers={"accept-encoding": "identity"})
        request = client.build_request("GET", "/metrics", headers={"accept-encoding": "gzip"})
        response = await client.send(request, stream=True)
        packed = b"".join([piece async for piece in response.aiter_raw()])

    assert "content-encoding" not in plain.headers
    assert b"lustre_mem_used{} 1048576" in gzip.decompress(packed)


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/", 404, "only /metrics"),
        ("POST", "/metrics", 405, "only GET"),
        ("GET", "/metrics?mode=fancy", 400, "compat or native"),
        ("GET", "/metrics?jobstats=perhaps", 400, "true or false"),
        ("GET", "/metrics?jobstat=true", 400, "unknown parameter jobstat"),
        ("GET", "/metrics?reset_mdt_md_stats=true", 403, "allow_reset"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(
    node: ShellNode, method: str, path: str, status: int, says: str
) -> None:
    async with served() as client:
        response = await client.request(method, path)

    assert (response.status_code, says in response.text) == (status, True)
    assert node.calls == []


async def test_counters_are_reset_where_that_is_allowed(node: ShellNode) -> None:
    async with served(allow_reset=True) as client:
        good = await client.get("/metrics?reset_mdt_md_stats=true")
        node.exits("set_param", 3)
        bad = await client.get("/metrics?reset_mdt_md_stats=true")

    assert (good.status_code, bad.status_code) == (200, 500)
    assert any(call.endswith("lctl set_param mdt.*.md_stats 0") for call in node.calls)


async def test_a_node_that_does_not_answer_is_said_so(node: ShellNode) -> None:
    node.hangs("get_param")

    async with served(scrape_timeout_s=0.5) as client:
        response = await client.get("/metrics")

    assert response.status_code == 408


async def test_too_many_scrapes_at_once_are_turned_away(node: ShellNode) -> None:
    node.hangs("get_param")

    async with served(scrapes_at_once=1) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.get, "/metrics")
        while not node.calls:
            await anyio.sleep(0.01)
        response = await client.get("/metrics")
        tasks.cancel_scope.cancel()

    assert (response.status_code, "too many" in response.text) == (503, True)


async def test_it_listens_on_a_unix_socket_and_clears_it_away(
    node: ShellNode, tmp_path: Path
) -> None:
    path = tmp_path / "run" / "metrics.sock"
    listener = Listener(StatsSettings(listen=f"unix:{path}"))
    listener.bound = anyio.Event()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener)
            await listener.bound.wait()
            assert path.stat().st_mode & 0o777 == 0o660
            async with await anyio.connect_unix(path) as stream:
                await stream.send(b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n")
                answer = b""
                with_end = b"# EOF\n"
                while with_end not in answer:
                    answer += await stream.receive()
            tasks.cancel_scope.cancel()

    assert answer.startswith(b"HTTP/1.1 200")
    assert not path.exists()


async def _drain(stream: anyio.abc.ByteReceiveStream) -> None:
    while True:
        await stream.receive()


async def test_nonsense_on_the_wire_ends_that_connection_alone(node: ShellNode) -> None:
    async with served() as client:
        async with await anyio.connect_tcp("127.0.0.1", client.base_url.port or 0) as stream:
            await stream.send(b"\x16\x03\x01 hello\r\n\r\n")
            with pytest.raises(anyio.EndOfStream):
                await _drain(stream)
        response = await client.get("/metrics")

    assert response.status_code == 200


async def test_an_old_scrape_gives_its_file_back(node: ShellNode) -> None:
    scrapes = Scrapes(StatsSettings(cache_s=0))

    async with scrapes.answer(Ask()) as rendered:
        scrapes.expire()
        assert rendered.read(0)

    with pytest.raises(ValueError, match="closed"):
        rendered.read(0)
