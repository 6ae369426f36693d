"""The manager as one object, over a real store, with time that moves when told to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from emf_agent.errors import RefusedError, UsageError
from emf_agent.wire import ActionDescription, AgentReport, DaemonDescription, Health
from emf_manager.jobs import NO_CONTACT_S
from emf_manager.records import Outcome
from emf_manager.views import (
    ArgumentsError,
    ConflictError,
    JobOrder,
    JobView,
    NotFoundError,
    UnknownActionError,
)
from tests.manager.engine_bench import FQDN, WITHIN_S, Agent, Bench, manager

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The store has a thread, so the loop keeps real time; the manager's clock is a fake."""
    return "asyncio"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench, None]:
    async with manager(tmp_path / "manager.db") as running:
        yield running


RUNNER = "action_runner"


def order(*nodes: str, **rest: Any) -> JobOrder:
    return JobOrder(**{"action": "a", "nodes": nodes or (FQDN,), "requester": "maria", **rest})


def result(action_id: str, value: Any = 3, outcome: str | None = "ok") -> dict[str, Any]:
    answer = {"id": action_id, "result": {"Ok": value}}
    return {"Ok": answer if outcome is None else {**answer, "outcome": outcome}}


def hello(journal: str = "j1", sequence: int = 0) -> dict[str, Any]:
    return {
        "agent_version": "0.1",
        "protocol": 2,
        "journal_id": journal,
        "journal_sequence": sequence,
        "clocks": {"wall": 1.0, "monotonic": 1.0},
        "boot_id": "boot-id",
        "catalogue_digest": "d",
    }


def described(name: str, schema: dict[str, Any]) -> ActionDescription:
    return ActionDescription(
        name=name, plugin="p", summary="s", args_schema=schema, result_schema={}, timeout_s=1.0
    )


POOL = {
    "type": "object",
    "properties": {"filesystem": {"type": "string"}, "size": {"type": "integer"}},
    "required": ["filesystem"],
    "additionalProperties": False,
    "x-positional": ["filesystem", "size"],
}


def report(*actions: ActionDescription, every: tuple[str, ...] = ()) -> dict[str, Any]:
    said = AgentReport(
        version="0.1",
        protocol=2,
        python="3.11",
        mode="allowlist",
        plugins=(),
        actions=actions,
        daemons=tuple(
            DaemonDescription(
                name=name,
                plugin="p",
                summary="s",
                payload_schema={},
                interval_s=10.0,
                deadline_s=1.0,
                start_deadline_s=5.0,
                delivery="every",
            )
            for name in every
        ),
        catalogue_digest="d",
        health=Health(
            daemons=(),
            running_actions=0,
            outbox_messages=0,
            unreadable_messages=0,
            longest_stall_s=0.0,
            containment="processes",
        ),
    )
    encoded: dict[str, Any] = said.model_dump(mode="json")
    return encoded


async def only(bench: Bench, job: JobView) -> Any:
    (target,) = (await bench.engine.job(job.id)).targets
    return target


async def offered(bench: Bench, agent: Agent, **rest: Any) -> tuple[JobView, str, str]:
    """Return a job that has been handed out, its action id, and the runner's session."""
    session = await agent.open(RUNNER)
    job = await bench.engine.create_job(order(**rest))
    (start,) = await agent.poll()
    return job, start["body"]["id"], session


async def kinds(bench: Bench, kind: str) -> list[dict[str, Any]]:
    return [event.body for event in await bench.engine.events(after=0) if event.kind == kind]


# Actions


async def test_an_action_runs_and_its_outcome_is_recorded_once(bench: Bench) -> None:
    agent = Agent(bench)
    job, action_id, session = await offered(bench, agent)
    assert (await only(bench, job)).state == "offered"

    await agent.say(RUNNER, session, {"type": "ACTION_ACCEPTED", "id": action_id})
    assert (await only(bench, job)).state == "accepted"
    await agent.say(RUNNER, session, {"type": "ACTION_STARTED", "id": action_id})
    progress = {"type": "ACTION_PROGRESS", "id": action_id, "fraction": 0.5, "message": "half"}
    await agent.say(RUNNER, session, progress)
    running = await only(bench, job)
    assert (running.state, running.fraction, running.message) == ("started", 0.5, "half")
    for _ in range(2):
        await agent.say(RUNNER, session, result(action_id))

    done = await bench.engine.job(job.id)
    assert done.state == "done"
    assert (done.counts.targeted, done.counts.succeeded) == (1, 1)
    assert done.targets[0].result == {"Ok": 3}
    assert len([e for e in await kinds(bench, "job.target") if e["state"] == "final"]) == 1
    assert len(await kinds(bench, "job.done")) == 1


async def test_a_job_for_a_node_without_contact_waits_and_then_goes_out(bench: Bench) -> None:
    job = await bench.engine.create_job(order())
    waiting = await only(bench, job)
    assert (waiting.state, waiting.silent) == ("queued", True)

    agent = Agent(bench)
    await agent.post({"type": "SESSION_CREATE_REQUEST", "fqdn": FQDN, "plugin": RUNNER})
    named, start = await agent.poll()

    assert named["type"] == "SESSION_CREATE_RESPONSE"
    assert start["body"]["id"] == waiting.action_id


async def test_a_job_that_nobody_takes_expires_and_is_never_handed_out(bench: Bench) -> None:
    job = await bench.engine.create_job(order(expires_in_s=10))

    bench.clock.advance(10)
    await bench.until(lambda: not bench.engine.seats.known(FQDN).open)  # type: ignore[union-attr]

    assert (await bench.engine.job(job.id)).counts.expired == 1
    agent = Agent(bench)
    await agent.post({"type": "SESSION_CREATE_REQUEST", "fqdn": FQDN, "plugin": RUNNER})
    assert [m["type"] for m in await agent.poll()] == ["SESSION_CREATE_RESPONSE"]


async def test_an_offer_is_repeated_until_the_node_has_it(bench: Bench) -> None:
    agent = Agent(bench)
    job, action_id, _ = await offered(bench, agent)

    restarted = Agent(bench, start="start-2")
    await restarted.post(
        {"type": "SESSION_CREATE_REQUEST", "fqdn": FQDN, "plugin": RUNNER}, hello=hello()
    )
    _, again = await restarted.poll()

    assert again["body"]["id"] == action_id
    assert (await only(bench, job)).state == "offered"


async def test_a_lost_journal_makes_what_was_given_unknown(bench: Bench) -> None:
    agent = Agent(bench)
    await agent.post(hello=hello("j1", 7))
    job, action_id, session = await offered(bench, agent)
    await agent.say(RUNNER, session, {"type": "ACTION_ACCEPTED", "id": action_id})

    await Agent(bench, start="start-2").post(hello=hello("j2", 0))

    target = await only(bench, job)
    assert (target.outcome, target.reason) == ("unknown", "journal-lost")
    assert len(await kinds(bench, "node.journal_lost")) == 1


async def test_no_contact_is_unknown_until_the_node_comes_back_with_what_it_recorded(
    bench: Bench,
) -> None:
    agent = Agent(bench)
    job, action_id, session = await offered(bench, agent)
    await agent.say(RUNNER, session, {"type": "ACTION_STARTED", "id": action_id})

    bench.clock.advance(60)
    await bench.until(lambda: bench.engine.seats.known(FQDN).host.silent)  # type: ignore[union-attr]
    bench.clock.advance(NO_CONTACT_S)
    await bench.until(lambda: not bench.engine.seats.known(FQDN).open)  # type: ignore[union-attr]
    given_up = await only(bench, job)
    assert (given_up.outcome, given_up.reason) == ("unknown", "no-contact")

    await agent.say(RUNNER, session, result(action_id))

    resolved = await bench.engine.job(job.id)
    assert (resolved.targets[0].outcome, resolved.counts.unknown) == ("ok", 0)
    assert [event["job"] for event in await kinds(bench, "job.resolved")] == [job.id]


async def test_a_second_different_outcome_is_an_alarm_and_changes_nothing(bench: Bench) -> None:
    agent = Agent(bench)
    job, action_id, session = await offered(bench, agent)
    await agent.say(RUNNER, session, result(action_id, 1))

    await agent.say(RUNNER, session, result(action_id, 2, "failed"))

    assert (await only(bench, job)).result == {"Ok": 1}
    (alarm,) = await kinds(bench, "job.conflict")
    assert (alarm["job"], alarm["first"], alarm["outcome"]) == (job.id, "ok", "failed")
    trail = [line.entry.what for line in await bench.store.audit_trail()]
    assert "job.conflict" in trail


async def test_labels_hold_at_once_and_nothing_else_is_lost(bench: Bench) -> None:
    agent = Agent(bench)
    session = await agent.open("host")

    await bench.engine.label_node(FQDN, {"rack": "r1"}, requester="user:maria")
    await agent.say("host", session, {"hostname": "n"})

    view = await bench.engine.node(FQDN)
    assert (view.labels, view.sessions["host"]) == ({"rack": "r1"}, "active")
    assert (await bench.engine.facts())[FQDN]["label.rack"] == "r1"
    assert await kinds(bench, "node.labelled") == [{"labels": {"rack": "r1"}}]
    line = [line.entry for line in await bench.store.audit_trail()][-1]
    assert (line.actor, line.what, line.subject) == ("user:maria", "node.label", FQDN)
    with pytest.raises(NotFoundError):
        await bench.engine.label_node("nobody.local", {}, requester="user:maria")


async def test_a_result_for_an_id_never_given_is_kept_as_an_orphan(bench: Bench) -> None:
    agent = Agent(bench)
    session = await agent.open(RUNNER)

    answer = await agent.say(RUNNER, session, result("nobody-asked"))

    assert answer.json()["verdicts"] == []
    (orphan,) = await bench.store.orphans()
    assert isinstance(orphan.outcome, Outcome)
    assert orphan.action_id == "nobody-asked"
    assert len(await kinds(bench, "job.orphan")) == 1


async def test_one_node_cannot_answer_for_an_action_of_another(bench: Bench) -> None:
    await bench.enrol("mds1.local")
    job, action_id, _ = await offered(bench, Agent(bench))
    thief = Agent(bench, fqdn="mds1.local")
    session = await thief.open(RUNNER)

    await thief.say(RUNNER, session, result(action_id))

    assert (await only(bench, job)).state == "offered"


async def test_cancel_before_the_node_has_it(bench: Bench) -> None:
    job = await bench.engine.create_job(order())

    view = await bench.engine.cancel_job(job.id, requester="maria")

    assert (view.state, view.counts.cancelled) == ("done", 1)


async def test_cancel_of_a_running_action_is_asked_taken_and_confirmed(bench: Bench) -> None:
    agent = Agent(bench)
    job, action_id, session = await offered(bench, agent)
    await agent.say(RUNNER, session, {"type": "ACTION_STARTED", "id": action_id})

    asked = await bench.engine.cancel_job(job.id, requester="maria")
    assert (asked.targets[0].state, asked.targets[0].cancel) == ("started", "asked")
    (cancel,) = await agent.poll()
    assert cancel["body"] == {"type": "ACTION_CANCEL", "id": action_id}
    taken = {"type": "ACTION_CANCEL_STATE", "id": action_id, "state": "taken"}
    await agent.say(RUNNER, session, taken)
    assert (await only(bench, job)).cancel == "taken"
    await agent.say(RUNNER, session, result(action_id, None, "cancelled"))

    assert (await only(bench, job)).outcome == "cancelled"


async def test_cancel_touches_only_the_nodes_it_names(bench: Bench) -> None:
    await bench.enrol("oss2.local")
    job = await bench.engine.create_job(order(FQDN, "oss2.local"))

    view = await bench.engine.cancel_job(job.id, requester="maria", nodes=["oss2.local"])

    assert {t.node: t.outcome for t in view.targets} == {FQDN: None, "oss2.local": "cancelled"}


async def test_the_same_idempotency_key_gives_the_same_job(bench: Bench) -> None:
    first = await bench.engine.create_job(order(idempotency_key="k"))

    again = await bench.engine.create_job(order(idempotency_key="k"))

    assert again.id == first.id
    assert len(await bench.engine.jobs()) == 1
    with pytest.raises(ConflictError):
        await bench.engine.create_job(order(idempotency_key="k", args=1))


# A restart of the manager


async def test_a_restarted_manager_goes_on_where_it_was(bench: Bench) -> None:
    agent = Agent(bench)
    await agent.post(hello=hello(), id="e1")
    job, action_id, session = await offered(bench, agent)
    await agent.say(RUNNER, session, {"type": "ACTION_STARTED", "id": action_id})
    waiting = await bench.engine.create_job(order())

    await bench.restart()

    assert (await bench.engine.node(FQDN)).state == "connected"
    (start,) = await agent.poll()
    assert start["body"]["id"].startswith(waiting.id)
    answer = await agent.say(RUNNER, session, result(action_id))
    assert answer.json()["verdicts"] == []
    assert (await bench.engine.job(job.id)).counts.succeeded == 1
    repeated = await agent.post(hello=hello("another journal"), id="e1")
    assert repeated.status_code == 202
    assert await kinds(bench, "node.journal_lost") == []


async def test_a_restarted_manager_still_refuses_the_process_that_was_superseded(
    bench: Bench,
) -> None:
    await Agent(bench).post()
    await Agent(bench, start="start-2").post()

    await bench.restart()

    assert (await Agent(bench).post()).status_code == 409
    assert (await Agent(bench, start="start-2").post()).status_code == 202


async def test_a_cancel_that_was_asked_is_sent_again_after_a_restart(bench: Bench) -> None:
    agent = Agent(bench)
    job, action_id, session = await offered(bench, agent)
    await agent.say(RUNNER, session, {"type": "ACTION_STARTED", "id": action_id})
    await bench.engine.cancel_job(job.id, requester="maria")

    await bench.restart()

    (cancel,) = await agent.poll()
    assert cancel["body"] == {"type": "ACTION_CANCEL", "id": action_id}


async def test_an_ancestor_never_gets_an_action_twice_not_even_after_a_restart(
    bench: Bench,
) -> None:
    agent = Agent(bench, protocol=1)
    job, _, _ = await offered(bench, agent)

    await bench.restart()
    await agent.open(RUNNER)

    target = await only(bench, job)
    assert (target.outcome, target.reason) == ("unknown", "session-ended")


# Nodes, sessions, data


async def test_a_node_is_never_seen_then_connected_then_silent(bench: Bench) -> None:
    assert (await bench.engine.node(FQDN)).state == "never"
    agent = Agent(bench)
    await agent.post(hello=hello())
    seen = await bench.engine.node(FQDN)
    assert (seen.state, seen.agent_version, seen.boot_id) == ("connected", "0.1", "boot-id")
    assert seen.last_contact == bench.clock.wall()

    bench.clock.advance(60)
    await bench.until(lambda: bench.engine.seats.known(FQDN).host.silent)  # type: ignore[union-attr]

    silent = await bench.engine.node(FQDN)
    assert (silent.state, silent.reason) == ("silent", "no contact for 60 s")
    await agent.post()
    assert (await bench.engine.node(FQDN)).state == "connected"
    assert len(await kinds(bench, "node.silent")) == 1


async def test_sessions_are_lost_with_the_node_and_found_again(bench: Bench) -> None:
    agent = Agent(bench)
    session = await agent.open("ntp")
    await agent.say("ntp", session, "Synced")
    assert not (await bench.engine.latest(FQDN, "ntp")).stale

    bench.clock.advance(60)
    await bench.until(lambda: bench.engine.seats.known(FQDN).host.silent)  # type: ignore[union-attr]
    (lost,) = await bench.engine.sessions(node=FQDN)
    latest = await bench.engine.latest(FQDN, "ntp")
    assert (lost.session_id, lost.state) == (session, "lost")
    assert (latest.stale, latest.age_s, latest.value) == (True, 60.0, "Synced")

    await agent.post()
    assert [view.state for view in await bench.engine.sessions(daemon="ntp")] == ["active"]
    assert not (await bench.engine.latest(FQDN, "ntp")).stale


async def test_goodbye_is_silence_with_a_reason(bench: Bench) -> None:
    agent = Agent(bench)
    await agent.open("ntp")

    await agent.post(goodbye="stopped by systemd", id="last")

    node = await bench.engine.node(FQDN)
    assert (node.state, node.reason) == ("silent", "goodbye: stopped by systemd")
    assert await bench.engine.sessions() == ()
    assert [e["reason"] for e in await kinds(bench, "session.ended")] == [
        "goodbye: stopped by systemd"
    ]


async def test_the_newest_value_of_an_envelope_is_the_latest(bench: Bench) -> None:
    agent = Agent(bench)
    session = await agent.open("ntp")
    old, new = agent.data("ntp", session, "old"), agent.data("ntp", session, "new")

    await agent.post(old, new)

    latest = await bench.engine.latest(FQDN, "ntp")
    assert (latest.value, latest.sequence, latest.session_id) == ("new", 2, session)
    assert (await bench.engine.latest_all(FQDN)) == (latest,)


async def test_values_of_an_event_daemon_are_events_and_gaps_are_told(bench: Bench) -> None:
    agent = Agent(bench)
    described = await agent.open("agent")
    await agent.say("agent", described, report(every=("journal",)))
    session = await agent.open("journal")
    await agent.say("journal", session, "line 1")
    agent.sequence[session] += 2

    await agent.say("journal", session, "line 4")

    assert [event["value"] for event in await kinds(bench, "data")] == ["line 1", "line 4"]
    (gap,) = await kinds(bench, "data.gap")
    assert (gap["daemon"], gap["first"], gap["last"]) == ("journal", 2, 3)


async def test_a_ping_is_a_real_round_trip(bench: Bench) -> None:
    await bench.enrol("dead.local")
    agent = Agent(bench)
    answers: list[Any] = []

    async def live() -> None:
        while True:
            await agent.poll()

    async def ask() -> None:
        answers.extend(await bench.engine.ping([FQDN, "dead.local"], timeout_s=5))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(live)
        await bench.until_hanging()
        tasks.start_soon(ask)
        seat = await bench.engine.seats.find(FQDN)
        with anyio.fail_after(WITHIN_S):
            while seat.desk.host.polls < 2:
                await anyio.sleep(0)
        bench.clock.advance(5)
        await bench.until(lambda: len(answers) == 2)
        tasks.cancel_scope.cancel()

    assert [(answer.node, answer.alive) for answer in answers] == [
        (FQDN, True),
        ("dead.local", False),
    ]


async def test_a_reset_session_is_asked_for_again(bench: Bench) -> None:
    agent = Agent(bench)
    session = await agent.open("ntp")

    await bench.engine.reset_sessions(FQDN, daemon="ntp", reason="asked by maria")

    (terminate,) = await agent.poll()
    assert (terminate["type"], terminate["session_id"]) == ("SESSION_TERMINATE", session)


# The catalogue


async def catalogued(bench: Bench, fqdn: str, *actions: ActionDescription) -> Agent:
    agent = Agent(bench, fqdn=fqdn)
    session = await agent.open("agent")
    await agent.say("agent", session, report(*actions))
    return agent


async def test_the_catalogue_is_merged_and_names_forms_that_differ(bench: Bench) -> None:
    await bench.enrol("oss2.local", "oss3.local")
    pool, other = described("pool", POOL), described("pool", {**POOL, "required": []})
    await catalogued(bench, FQDN, pool)
    await catalogued(bench, "oss2.local", other, described("zap", {}))
    await catalogued(bench, "oss3.local", other)

    entries = {entry.name: entry for entry in await bench.engine.catalogue()}

    assert sorted(entries) == ["pool", "zap"]
    assert [variant.nodes for variant in entries["pool"].variants] == [
        ("oss2.local", "oss3.local"),
        (FQDN,),
    ]
    await bench.restart()
    assert [entry.name for entry in await bench.engine.catalogue()] == ["pool", "zap"]


@pytest.mark.parametrize(
    ("args", "field", "expected", "got"),
    [
        pytest.param({"filesystem": 3}, "args.filesystem", "string", "an integer", id="type"),
        pytest.param({}, "args.filesystem", "a value", "nothing", id="missing"),
        pytest.param(None, "args.filesystem", "a value", "nothing", id="null"),
        pytest.param(
            {"filesystem": "f", "sise": 1},
            "args.sise",
            "one of filesystem, size",
            "an unknown name",
            id="unknown",
        ),
        pytest.param(["f", "x"], "args.size", "integer", "a string of length 1", id="by position"),
        pytest.param(["f", 1, 2], "args", "at most 2 values (filesystem, size)", "3", id="long"),
        pytest.param(
            "f",
            "args",
            "an array or an object with filesystem, size",
            "a string of length 1",
            id="bare",
        ),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_by_field(
    bench: Bench, args: Any, field: str, expected: str, got: str
) -> None:
    await catalogued(bench, FQDN, described("pool", POOL))

    with pytest.raises(ArgumentsError) as refused:
        await bench.engine.create_job(order(action="pool", args=args))

    assert (refused.value.field, refused.value.expected, refused.value.got) == (
        field,
        expected,
        got,
    )
    assert await bench.engine.jobs() == ()


@pytest.mark.parametrize(
    "args", [{"filesystem": "f"}, {"filesystem": "f", "size": 3}, ["f"], ["f", 3]]
)
async def test_every_accepted_form_of_arguments_is_taken(bench: Bench, args: Any) -> None:
    await catalogued(bench, FQDN, described("pool", POOL))

    assert (await bench.engine.create_job(order(action="pool", args=args))).args == args


async def test_an_unknown_action_is_refused_with_what_may_be_meant(bench: Bench) -> None:
    await catalogued(bench, FQDN, described("start_unit", {}))

    with pytest.raises(UnknownActionError, match="did you mean start_unit"):
        await bench.engine.create_job(order(action="start_units"))


async def test_an_ancestor_without_a_catalogue_is_trusted_to_decide(bench: Bench) -> None:
    await Agent(bench, protocol=1).post()

    assert (await bench.engine.create_job(order(action="whatever"))).state == "running"


async def test_a_hostile_schema_neither_fetches_nor_stops_anything(bench: Bench) -> None:
    loop: dict[str, Any] = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    remote = {"$ref": "http://127.0.0.1:1/schema"}
    forms = {"loop": loop, "remote": remote, "odd": {"type": 3}}
    await catalogued(bench, FQDN, *(described(name, form) for name, form in forms.items()))

    for action in forms:
        assert (await bench.engine.create_job(order(action=action))).state == "running"


# Bad input


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        pytest.param({"nodes": ()}, UsageError, id="no node"),
        pytest.param({"nodes": ("nobody.local",)}, NotFoundError, id="unknown node"),
        pytest.param({"timeout_s": 0}, UsageError, id="no time"),
        pytest.param({"timeout_s": float("nan")}, UsageError, id="no number"),
        pytest.param({"expires_in_s": -1}, UsageError, id="expired before it began"),
        pytest.param({"timeout_s": 1e12}, UsageError, id="for ever"),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(
    bench: Bench, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await bench.engine.create_job(order(**wrong))

    assert await bench.engine.jobs() == ()


async def test_what_is_not_there_is_said_so(bench: Bench) -> None:
    engine = bench.engine
    for call in (
        engine.node("x"),
        engine.latest("x", "ntp"),
        engine.latest(FQDN, "ntp"),
        engine.latest_all("x"),
        engine.job("x"),
        engine.cancel_job("x", requester="maria"),
        engine.ping(["x"]),
        engine.reset_sessions("x", daemon=None, reason="r"),
        engine.remove_node("x", requester="maria", reason="r"),
    ):
        with pytest.raises(NotFoundError):
            await call


async def test_open_actions_of_one_node_are_bounded(tmp_path: Path) -> None:
    async with manager(tmp_path / "m.db", open_targets=2) as bench:
        for _ in range(2):
            await bench.engine.create_job(order())

        with pytest.raises(RefusedError, match="wait for them or cancel"):
            await bench.engine.create_job(order())


async def test_a_job_may_not_have_nodes_without_end(tmp_path: Path) -> None:
    async with manager(tmp_path / "m.db", nodes=1) as bench:
        await bench.enrol("oss2.local")
        with pytest.raises(RefusedError):
            await bench.engine.create_job(order(FQDN, "oss2.local"))


# Events


async def test_events_come_in_order_without_a_gap_whoever_wrote_them(bench: Bench) -> None:
    heard: list[int] = []
    names = [f"n{place}.local" for place in range(8)]
    await bench.enrol(*names)
    begin = (await bench.store.event_bounds())[1]

    def note(sequence: int) -> None:
        if sequence > begin:
            heard.append(sequence)

    async def listen() -> None:
        with bench.engine.subscribe(after=begin) as events:
            async for event in events:
                note(event.sequence)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await bench.until(lambda: len(bench.engine._bus) == 1)
        for name in names:
            tasks.start_soon(Agent(bench, fqdn=name).post)
        await bench.enrol("late.local")
        with anyio.fail_after(WITHIN_S):
            while True:
                last = (await bench.store.event_bounds())[1]
                if last >= begin + len(names) + 1 and heard and heard[-1] == last:
                    break
                await Agent(bench).open("ntp")
        tasks.cancel_scope.cancel()

    assert heard == list(range(begin + 1, heard[-1] + 1))


async def test_the_engine_says_the_last_event_and_pages_from_anywhere(bench: Bench) -> None:
    agent = Agent(bench)
    await agent.open("ntp")
    await bench.until(lambda: bench.engine.seats.last_event >= 3)
    last = await bench.engine.last_event()

    everything = await bench.engine.events(after=0)

    assert everything[-1].sequence == last
    assert await bench.engine.events(after=last) == ()
    assert [e.sequence for e in await bench.engine.events(after=1, limit=1)] == [2]


async def test_a_manager_that_ends_ends_its_event_streams(tmp_path: Path) -> None:
    ended = anyio.Event()
    async with anyio.create_task_group() as tasks, manager(tmp_path / "m.db") as bench:

        async def listen() -> None:
            with bench.engine.subscribe(after=0) as events:
                async for _ in events:
                    pass
            ended.set()

        tasks.start_soon(listen)
        await bench.until(lambda: len(bench.engine._bus) == 1)
        bench.engine.close()
        with anyio.fail_after(WITHIN_S):
            await ended.wait()
