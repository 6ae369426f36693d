"""The agents' side over HTTP, in memory: both protocols, every limit, every way a GET can end."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from emf_agent.wire import MAX_MESSAGE_BYTES, MESSAGE_PATH
from emf_manager.gateway import POSTS_AT_ONCE
from emf_manager.views import JobOrder
from tests.manager.engine_bench import BOOT, FQDN, WITHIN_S, Agent, Bench, manager

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The store has a thread, so the loop keeps real time; the manager's clock is a fake."""
    return "asyncio"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench, None]:
    async with manager(tmp_path / "manager.db") as running:
        yield running


HELLO = {
    "agent_version": "0.1",
    "protocol": 2,
    "journal_id": "j1",
    "journal_sequence": 0,
    "clocks": {"wall": 1.0, "monotonic": 1.0},
    "boot_id": "boot-id",
    "catalogue_digest": "d",
}


async def test_an_agent_of_protocol_2_is_told_epoch_verdicts_pace_and_time(bench: Bench) -> None:
    answer = await Agent(bench).post(hello=HELLO, id="e1")

    assert answer.status_code == 202
    assert answer.headers["EMF-Protocol"] == "2"
    assert answer.json() == {
        "epoch": bench.engine.epoch,
        "verdicts": [],
        "pace": {"poll_s": 25.0, "lease_s": 60.0},
        "clock": bench.clock.wall(),
    }


async def test_an_ancestor_gets_the_ancestors_answers(bench: Bench) -> None:
    agent = Agent(bench, protocol=1)

    answer = await agent.post({"type": "SESSION_CREATE_REQUEST", "fqdn": FQDN, "plugin": "ntp"})
    assert (answer.status_code, answer.content) == (202, b"")
    assert "EMF-Protocol" not in answer.headers

    polled = await agent.get()
    (named,) = polled.json()["messages"]
    assert polled.status_code == 200
    assert polled.headers["content-type"] == "application/json"
    assert polled.json() == {
        "messages": [
            {
                "type": "SESSION_CREATE_RESPONSE",
                "fqdn": FQDN,
                "plugin": "ntp",
                "session_id": named["session_id"],
            }
        ]
    }


async def test_an_ancestors_whole_day(bench: Bench) -> None:
    first = Agent(bench, protocol=1)
    session = await first.open("action_runner")
    job = await bench.engine.create_job(JobOrder("start_unit", (FQDN,), "maria", "lnet.service"))
    (start,) = await first.poll()
    assert start["body"] == {
        "type": "ACTION_START",
        "action": "start_unit",
        "args": "lnet.service",
        "id": f"{job.id}.0",
    }
    body = {"Ok": {"id": f"{job.id}.0", "result": {"Ok": None}}}
    assert (await first.say("action_runner", session, body)).status_code == 202
    assert (await bench.engine.job(job.id)).counts.succeeded == 1

    restarted = Agent(bench, protocol=1, start="start-2")
    assert await restarted.poll() == [{"type": "SESSION_TERMINATE_ALL", "fqdn": FQDN}]
    assert await restarted.open("action_runner") != session


async def test_a_get_hangs_until_something_is_there(bench: Bench) -> None:
    agent = Agent(bench)
    await agent.open("action_runner")
    heard: list[dict[str, Any]] = []

    async def hang() -> None:
        heard.extend(await agent.poll())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang)
        await bench.until_hanging()
        await bench.engine.create_job(JobOrder("a", (FQDN,), "maria"))

    assert [message["body"]["type"] for message in heard] == ["ACTION_START"]


@pytest.mark.parametrize(("protocol", "patience"), [(1, 30.0), (2, 25.0)])
async def test_a_get_is_answered_empty_when_its_time_is_over(
    bench: Bench, protocol: int, patience: float
) -> None:
    agent = Agent(bench, protocol=protocol)
    answers: list[list[dict[str, Any]]] = []

    async def hang() -> None:
        answers.append(await agent.poll())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang)
        await bench.until_hanging()
        bench.clock.advance(patience - 0.5)
        await anyio.sleep(0)
        assert not answers
        bench.clock.advance(0.5)

    assert answers == [[]]


async def test_a_new_get_answers_the_one_before_it_at_once(bench: Bench) -> None:
    first, second = Agent(bench), Agent(bench)
    ended: list[str] = []

    async def hang(agent: Agent, name: str) -> None:
        assert await agent.poll() == []
        ended.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang, first, "first")
        await bench.until_hanging()
        tasks.start_soon(hang, second, "second")
        await bench.until(lambda: ended == ["first"])
        await bench.until_hanging()
        bench.clock.advance(25)

    assert ended == ["first", "second"]


async def test_no_wake_up_is_lost_while_gets_replace_each_other(bench: Bench) -> None:
    """Storm: GETs of one process replace one another while actions are sent; all must arrive."""
    agent = Agent(bench)
    await agent.open("action_runner")
    wanted = 10
    heard: set[str] = set()

    async def listen() -> None:
        mine = Agent(bench)
        while len(heard) < wanted:
            mine.epoch, mine.acknowledged = agent.epoch, agent.acknowledged
            for message in await mine.poll():
                heard.add(message["body"]["id"])
                agent.acknowledged = max(agent.acknowledged or 0, message["seq"])

    async def order() -> None:
        for _ in range(wanted):
            await bench.engine.create_job(JobOrder("a", (FQDN,), "maria"))

    with anyio.fail_after(WITHIN_S):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(listen)
            tasks.start_soon(order)
            await bench.until(lambda: len(heard) == wanted)
            while any(True for seat in [await bench.engine.seats.find(FQDN)] if seat.hanging):
                bench.clock.advance(25)
                await anyio.sleep(0)
            tasks.cancel_scope.cancel()

    assert len(heard) == wanted


async def test_a_client_that_goes_away_while_hanging_takes_nothing_with_it(bench: Bench) -> None:
    agent = Agent(bench)
    await agent.open("action_runner")

    async with anyio.create_task_group() as tasks:
        gone = DirectGet(bench, agent)
        tasks.start_soon(gone.run)
        await bench.until_hanging()
        gone.disconnect.set()
        await bench.until(lambda: gone.ended)
    await bench.engine.create_job(JobOrder("a", (FQDN,), "maria"))

    (message,) = await agent.poll()
    assert message["body"]["type"] == "ACTION_START"


class DirectGet:
    """A GET on the bare ASGI interface, whose client can hang up."""

    def __init__(self, bench: Bench, agent: Agent) -> None:
        self.bench = bench
        query = httpx.QueryParams(
            server_boot_time=BOOT,
            client_start_time=agent.start,
            ack=agent.acknowledged or 0,
            epoch=agent.epoch or 0,
        )
        self.scope = {
            "type": "http",
            "method": "GET",
            "path": MESSAGE_PATH,
            "raw_path": MESSAGE_PATH.encode(),
            "query_string": str(query).encode(),
            "headers": [(b"emf-protocol", b"2")],
            "test.peer": agent.card,
        }
        self.disconnect = anyio.Event()
        self.ended = False
        self.sent: list[Message] = []

    async def run(self) -> None:
        messages: AsyncIterator[Message] = self._messages()
        await self.bench.app(self.scope, messages.__anext__, self._send)
        self.ended = True

    async def _messages(self) -> AsyncIterator[Message]:
        yield {"type": "http.request", "body": b"", "more_body": False}
        await self.disconnect.wait()
        yield {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


async def test_every_hanging_get_is_answered_at_shutdown(bench: Bench) -> None:
    await bench.enrol("oss2.local", "oss3.local")
    agents = [Agent(bench, fqdn=name) for name in (FQDN, "oss2.local", "oss3.local")]
    answers: list[list[dict[str, Any]]] = []

    async def hang(agent: Agent) -> None:
        answers.append(await agent.poll())

    async with anyio.create_task_group() as tasks:
        for agent in agents:
            tasks.start_soon(hang, agent)
            await bench.until_hanging(agent.card.fqdn)
        bench.engine.close()

    assert answers == [[], [], []]
    late = await agents[0].get()
    assert (late.status_code, late.headers["retry-after"]) == (503, "1")


async def test_a_revoked_certificate_ends_the_open_poll_and_is_refused_from_then_on(
    bench: Bench,
) -> None:
    agent = Agent(bench)
    answers: list[int] = []

    async def hang() -> None:
        answers.append((await agent.get()).status_code)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang)
        await bench.until_hanging()
        bench.peers.revoked.add(agent.card.serial)
        await bench.engine.nudge(FQDN)

    assert answers == [403]
    refused = await agent.post()
    assert refused.status_code == 403
    assert "revoked" in refused.text


async def test_removing_a_node_ends_its_poll_and_forgets_all_of_it(bench: Bench) -> None:
    agent = Agent(bench)
    session = await agent.open("ntp")
    await agent.say("ntp", session, "value")
    answers: list[int] = []

    async def hang() -> None:
        answers.append((await agent.get()).status_code)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang)
        await bench.until_hanging()
        await bench.engine.remove_node(FQDN, requester="user:maria", reason="retired")

    assert answers == [403]
    assert (await agent.get()).status_code == 403
    assert await bench.engine.nodes() == ()
    await bench.enrol(FQDN)
    assert await bench.engine.sessions() == ()
    assert await bench.engine.latest_all(FQDN) == ()
    assert (await agent.post()).status_code == 202


async def test_without_a_certificate_there_is_no_way_in_whatever_the_headers_say(
    bench: Bench,
) -> None:
    claims = {"X-SSL-Client-Name": FQDN, "X-SSL-Client-On": "SUCCESS", "X-SSL-Client-Serial": "1"}
    transport = httpx.ASGITransport(bench.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://m") as client:
        get = await client.get(MESSAGE_PATH, headers=claims)
        post = await client.post(MESSAGE_PATH, headers=claims, content=b"{}")

    assert (get.status_code, post.status_code) == (401, 401)


async def test_a_certificate_of_a_node_that_is_not_enrolled_is_refused(bench: Bench) -> None:
    answer = await Agent(bench, fqdn="stranger.local").post()

    assert answer.status_code == 403
    assert "not enrolled" in answer.text


@pytest.mark.parametrize("protocol", [1, 2])
async def test_a_node_cannot_speak_for_another(bench: Bench, protocol: int) -> None:
    await bench.enrol("mds1.local")
    victim = Agent(bench, fqdn="mds1.local")
    session = await victim.open("ntp")
    await victim.say("ntp", session, "truth")
    before = bench.engine.seats.known("mds1.local")
    liar = Agent(bench, protocol=protocol)
    lie = victim.data("ntp", session, "lie")

    answer = await liar.post(lie)

    if protocol == 1:
        assert answer.status_code == 403
    else:
        assert [verdict["code"] for verdict in answer.json()["verdicts"]] == ["identity"]
    assert bench.engine.seats.known("mds1.local") == before
    assert (await bench.engine.latest("mds1.local", "ntp")).value == "truth"
    trail = await bench.store.audit_trail()
    told = [line.entry for line in trail if line.entry.what == "agent.identity"]
    assert [(entry.actor, entry.outcome) for entry in told] == [(f"node:{FQDN}", "refused")]


async def test_a_node_that_repeats_itself_does_not_fill_the_audit_trail(bench: Bench) -> None:
    liar = Agent(bench)
    for attempt in range(100):
        name = f"victim{attempt % 50}.local"
        await liar.post({"type": "SESSION_CREATE_REQUEST", "fqdn": name, "plugin": "ntp"})

    trail = await bench.store.audit_trail()
    assert len([line for line in trail if line.entry.what == "agent.identity"]) == 32
    bench.clock.advance(60)
    await liar.post({"type": "SESSION_CREATE_REQUEST", "fqdn": "v.local", "plugin": "ntp"})
    assert len(await bench.store.audit_trail()) == len(trail) + 1


async def test_a_superseded_process_gets_409_on_both_verbs(bench: Bench) -> None:
    old = Agent(bench)
    await old.post()
    await Agent(bench, start="start-2").post()

    assert (await old.post()).status_code == 409
    assert (await old.get()).status_code == 409


ENVELOPE = {"messages": [], "server_boot_time": BOOT, "client_start_time": "start-1"}


def deep(levels: int) -> bytes:
    message = b'{"type":"DATA","fqdn":"oss1.local","plugin":"p","session_id":"s","session_seq":1,'
    nested = message + b'"body":' + b"[" * levels + b"]" * levels + b"}"
    return json.dumps(ENVELOPE).encode().replace(b"[]", b"[" + nested + b"]")


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(b"", {}, 400, id="nothing"),
        pytest.param(b"{", {}, 400, id="broken"),
        pytest.param(b"[]", {}, 400, id="no envelope"),
        pytest.param(b'{"messages": []}', {}, 400, id="key lacks"),
        pytest.param(b"\xff\xfe", {}, 400, id="no text"),
        pytest.param(deep(100_000), {}, 400, id="deep"),
        pytest.param(
            json.dumps({**ENVELOPE, "client_start_time": ""}).encode(), {}, 400, id="no start time"
        ),
        pytest.param(
            json.dumps({**ENVELOPE, "client_start_time": "x" * 5000}).encode(),
            {},
            400,
            id="giant start time",
        ),
        pytest.param(b"{}", {"content_type": "text/plain"}, 415, id="content type"),
        pytest.param(b"{}", {"content_encoding": "br"}, 415, id="content encoding"),
        pytest.param(b" " * (MAX_MESSAGE_BYTES + 1), {}, 413, id="one byte over"),
        pytest.param(b"{}", {"content_length": str(10**12)}, 413, id="announced giant"),
        pytest.param(
            json.dumps(ENVELOPE).encode(),
            {"content_type": "application/json; charset=utf-8"},
            202,
            id="charset",
        ),
    ],
)
async def test_a_body_that_is_no_envelope_is_refused_with_the_right_status(
    bench: Bench, protocol: int, body: bytes, headers: dict[str, str], status: int
) -> None:
    agent = Agent(bench, protocol=protocol)

    answer = await agent.post_bytes(body, **headers)

    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text
    assert len(answer.text) < 2000
    assert (await agent.post()).status_code == 202


async def test_a_missing_content_type_is_accepted(bench: Bench) -> None:
    agent = Agent(bench, protocol=1)
    async with agent.client() as client:
        answer = await client.post(MESSAGE_PATH, content=json.dumps(ENVELOPE).encode())

    assert answer.status_code == 202


async def test_an_ancestors_unreadable_message_is_400_and_ours_costs_one_verdict(
    bench: Bench,
) -> None:
    bad = {"type": "NEVER_HEARD_OF"}

    assert (await Agent(bench, protocol=1).post(bad)).status_code == 400
    answer = await Agent(bench).post(bad)

    assert answer.status_code == 202
    assert [verdict["code"] for verdict in answer.json()["verdicts"]] == ["unreadable"]


async def test_what_is_not_json_in_a_body_is_unreadable(bench: Bench) -> None:
    agent = Agent(bench)
    session = await agent.open("ntp")

    answer = await agent.say("ntp", session, float("nan"))

    assert [verdict["code"] for verdict in answer.json()["verdicts"]] == ["unreadable"]


async def test_a_body_over_the_limit_is_not_read_to_its_end(bench: Bench) -> None:
    read = 0
    piece = b" " * (1024 * 1024)

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 100:
            read += 1
            yield piece

    agent = Agent(bench)
    async with agent.client() as client:
        answer = await client.post(MESSAGE_PATH, content=endless())

    assert answer.status_code == 413
    assert read < 20


async def test_a_node_that_floods_is_read_a_few_bodies_at_a_time(bench: Bench) -> None:
    await bench.enrol("quiet.local")
    reading = 0
    go_on = anyio.Event()
    answers: list[int] = []

    async def slow() -> AsyncIterator[bytes]:
        nonlocal reading
        reading += 1
        await go_on.wait()
        yield json.dumps(ENVELOPE).encode()

    async def flood() -> None:
        async with Agent(bench).client() as client:
            answers.append((await client.post(MESSAGE_PATH, content=slow())).status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(3 * POSTS_AT_ONCE):
            tasks.start_soon(flood)
        await bench.until(lambda: reading == POSTS_AT_ONCE)
        assert (await Agent(bench, fqdn="quiet.local").post()).status_code == 202
        assert reading == POSTS_AT_ONCE
        go_on.set()

    assert answers == [202] * 3 * POSTS_AT_ONCE


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(gzip.compress(json.dumps(ENVELOPE).encode()), 202, id="fits"),
        pytest.param(gzip.compress(b" " * (MAX_MESSAGE_BYTES + 1)), 413, id="bomb"),
        pytest.param(gzip.compress(json.dumps(ENVELOPE).encode())[:-3], 400, id="cut off"),
        pytest.param(b"not gzip", 400, id="no gzip"),
        pytest.param(gzip.compress(b"{}") + b"tail", 400, id="something follows"),
    ],
)
async def test_a_compressed_body_is_inflated_within_the_limit(
    bench: Bench, body: bytes, status: int
) -> None:
    answer = await Agent(bench).post_bytes(body, content_encoding="gzip")

    assert answer.status_code == status, answer.text


async def test_an_ancestor_may_not_compress(bench: Bench) -> None:
    body = gzip.compress(json.dumps(ENVELOPE).encode())

    assert (
        await Agent(bench, protocol=1).post_bytes(body, content_encoding="gzip")
    ).status_code == 415


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({}, id="none"),
        pytest.param({"client_start_time": "a"}, id="no boot time"),
        pytest.param({"server_boot_time": "a"}, id="no start time"),
        pytest.param({"client_start_time": "", "server_boot_time": "a"}, id="empty"),
        pytest.param(
            {"client_start_time": "a", "server_boot_time": "b", "ack": "-1", "epoch": "1"},
            id="negative",
        ),
        pytest.param(
            {"client_start_time": "a", "server_boot_time": "b", "ack": "9" * 400, "epoch": "1"},
            id="giant",
        ),
        pytest.param(
            {"client_start_time": "a", "server_boot_time": "b", "ack": "٣", "epoch": "1"},
            id="other digits",
        ),
    ],
)
async def test_a_get_without_a_proper_query_is_a_bad_request(
    bench: Bench, query: dict[str, str]
) -> None:
    async with Agent(bench).client() as client:
        assert (await client.get(MESSAGE_PATH, params=query)).status_code == 400


async def test_other_verbs_are_405_and_other_paths_404(bench: Bench) -> None:
    async with Agent(bench).client() as client:
        assert (await client.put(MESSAGE_PATH)).status_code == 405
        assert (await client.get("/agent2/other/")).status_code == 404


async def test_an_acknowledgement_of_another_epoch_counts_for_nothing(bench: Bench) -> None:
    agent = Agent(bench)
    await agent.open("ntp")
    agent.epoch = bench.engine.epoch + 1

    (again,) = await agent.poll()

    assert again["type"] == "SESSION_CREATE_RESPONSE"


async def test_a_full_store_takes_nothing_and_says_when_to_come_back(
    bench: Bench,
) -> None:
    agent = Agent(bench)
    session = await agent.open("ntp")
    bench.full = True

    answer = await agent.post(agent.data("ntp", session, "kept"), id="e1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "disk" not in answer.text

    bench.full = False
    agent.sequence[session] -= 1
    again = await agent.post(agent.data("ntp", session, "kept"), id="e1")
    assert (again.status_code, again.json()["verdicts"]) == (202, [])
    assert (await bench.engine.latest(FQDN, "ntp")).value == "kept"


async def test_a_write_that_hangs_holds_up_no_other_node(bench: Bench) -> None:
    await bench.enrol("quiet.local")
    slow, quiet = Agent(bench), Agent(bench, fqdn="quiet.local")
    session, other = await slow.open("ntp"), await quiet.open("ntp")
    answers: list[int] = []

    async def hang() -> None:
        answers.append((await slow.post(slow.data("ntp", session, "slow"))).status_code)

    bench.hangs_at = "slow"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang)
        await anyio.wait_all_tasks_blocked()
        try:
            with anyio.fail_after(WITHIN_S):
                answered = await quiet.post(quiet.data("ntp", other, "quick"))
        finally:
            bench.go_on.set()
        assert (answered.status_code, answers) == (202, [])

    assert answers == [202]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(["type", "fqdn", "plugin", "session_id", "session_seq", "body", "resume"])
VALUES = JSON | st.sampled_from(
    ["DATA", "SESSION_CREATE_REQUEST", "SESSION_END", FQDN, "action_runner", 2**63, 2**64 - 1]
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.dictionaries(FIELDS, VALUES, max_size=7), max_size=3),
    st.dictionaries(st.sampled_from(["id", "hello", "goodbye", "extra"]), JSON, max_size=2),
    st.sampled_from([1, 2]),
)
async def test_no_message_whatever_makes_an_internal_error(
    bench: Bench, messages: list[dict[str, Any]], rest: dict[str, Any], protocol: int
) -> None:
    answer = await Agent(bench, protocol=protocol).post(*messages, **rest)

    assert answer.status_code in (202, 400, 403, 409)
