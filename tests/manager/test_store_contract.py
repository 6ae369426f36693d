"""What every store keeps: one suite over SQLite and PostgreSQL (requirement REL16)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import pytest

from emf_manager.audit_chain import broken_links
from emf_manager.authorization import Mandate
from emf_manager.login_records import Login, LoginCode
from emf_manager.records import (
    ApiToken,
    Certificate,
    EnrolmentGrant,
    Job,
    LatestValue,
    NewAudit,
    NewEvent,
    Node,
    Outcome,
    SessionRecord,
    Target,
    User,
    hash_secret,
)
from emf_manager.store.groups import Group
from emf_manager.store.interface import (
    Changes,
    EnvelopeKey,
    GrantUnusableError,
    KeyReusedError,
    NameAliveError,
    Remark,
    Store,
    StoreError,
    TargetProgress,
)
from emf_manager.store.sql import open_store

pytestmark = pytest.mark.anyio

NODE = "oss1.example.com"
NOTE = NewAudit(1.0, "test", "test")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the store works in threads


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[Store, None]:
    async with open_store(database_url) as store:
        await store.record(Changes(nodes=(Node(NODE, enrolled=1.0),)))
        yield store


def job_for(*nodes: str, key: str | None = None, **other: Any) -> tuple[Job, tuple[Target, ...]]:
    job_id = other.pop("job_id", "job-1")
    job = Job(job_id, "start_unit", ["lnet"], "maria", 1.0, 60.0, idempotency_key=key)
    targets = tuple(Target(f"{job_id}-{node}", job_id, node, queued=1.0) for node in nodes)
    return replace(job, **other), targets


def ok(action_id: str, **other: Any) -> Outcome:
    return replace(Outcome(action_id, NODE, "ok", 5.0, result={"Ok": True}), **other)


def settled(*outcomes: Outcome) -> Changes:
    return Changes(outcomes=tuple(map(Remark, outcomes)))


# What a node says


async def test_everything_of_one_record_is_there_afterwards(store: Store) -> None:
    node = Node(NODE, "online", instance="i1", superseded=("i0",), protocol=2, last_contact=4.5)
    session = SessionRecord("s1", NODE, "network", "i1", sequence=3, started=2.0)
    value = LatestValue(NODE, "network", "s1", 3, {"links": [1, None, 2.5, "é"]}, 4.0)

    await store.record(Changes(EnvelopeKey(NODE, "e1"), (node,), (session,), (value,)))

    loaded = await store.load()
    assert loaded.nodes == (replace(node, enrolled=1.0),)
    assert loaded.sessions == (session,)
    assert loaded.envelopes == {NODE: ("e1",)}
    assert await store.values() == (value,)
    assert await store.values(node=NODE, daemon="host") == ()


async def test_a_repeated_envelope_changes_nothing(store: Store) -> None:
    key = EnvelopeKey(NODE, "e1")
    first = LatestValue(NODE, "host", "s1", 1, "first", 1.0)
    await store.record(Changes(envelope=key, values=(first,)))

    again = await store.record(
        Changes(envelope=key, values=(replace(first, body="second"),), events=(NewEvent(1, "x"),))
    )

    assert again.repeated
    assert again.events == ()
    assert await store.values() == (first,)
    assert await store.events() == ()


async def test_envelopes_are_forgotten_only_when_many_newer_ones_came(store: Store) -> None:
    for number in range(200):
        await store.record(Changes(envelope=EnvelopeKey(NODE, f"e{number}")))

    kept = (await store.load()).envelopes[NODE]
    assert 64 <= len(kept) <= 128
    assert kept[-1] == "e199"
    assert (await store.record(Changes(envelope=EnvelopeKey(NODE, "e190")))).repeated


async def test_what_fails_leaves_nothing_of_its_record_behind(store: Store) -> None:
    stranger = LatestValue("stranger", "host", "s1", 1, None, 1.0)
    with pytest.raises(StoreError):
        await store.record(
            Changes(
                envelope=EnvelopeKey(NODE, "e1"), values=(stranger,), events=(NewEvent(1, "x"),)
            )
        )

    assert await store.events() == ()
    assert not (await store.record(Changes(envelope=EnvelopeKey(NODE, "e1")))).repeated


async def test_one_failing_write_does_not_fail_those_committed_with_it(store: Store) -> None:
    failed: list[int] = []

    async def write(number: int) -> None:
        node = "stranger" if number % 10 == 3 else NODE
        value = LatestValue(node, f"daemon{number}", "s", 1, number, 1.0)
        try:
            await store.record(Changes(values=(value,), events=(NewEvent(1.0, f"e{number}"),)))
        except StoreError:
            failed.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(60):
            tasks.start_soon(write, number)

    assert sorted(failed) == [3, 13, 23, 33, 43, 53]
    assert len(await store.values()) == 54
    assert [event.sequence for event in await store.events()] == list(range(1, 55))


@pytest.mark.parametrize(
    "text", ["\x00", "a\ud800b", "\U0001f4be", "'; DROP TABLE nodes; --"], ids=ascii
)
async def test_text_from_a_node_cannot_break_a_write(store: Store, text: str) -> None:
    value = LatestValue(NODE, f"d{text}", "s", 1, {"text": text}, 1.0)
    await store.record(Changes(nodes=(Node(NODE, reason=text),), values=(value,)))

    (kept,) = await store.values()
    assert kept.body == {"text": text}
    assert (await store.load()).nodes[0].reason is not None


async def test_numbers_beyond_64_bits_are_held_at_the_largest(store: Store) -> None:
    await store.record(Changes(nodes=(Node(NODE, journal_sequence=2**64 - 1),)))
    assert (await store.load()).nodes[0].journal_sequence == 2**63 - 1


async def test_a_node_keeps_what_enrolment_gave_it(store: Store) -> None:
    await enrolled(store, "mds1.example.com", role="mds")
    await store.record(Changes(nodes=(Node("mds1.example.com", "online", role="intruder"),)))
    node = await store.node("mds1.example.com")
    assert node is not None
    assert (node.role, node.state, node.enrolled) == ("mds", "online", 10.0)


# Jobs


async def test_a_job_is_there_once_it_was_created(store: Store) -> None:
    job, targets = job_for(NODE)
    created = await store.create_job(job, targets, events=(NewEvent(1.0, "job.created"),))

    assert created.created
    assert [event.sequence for event in created.events] == [1]
    assert await store.job("job-1") == (replace(job, open_targets=1), targets)
    assert (await store.load()).targets == targets
    assert await store.job("job-2") is None


async def test_the_same_key_gives_the_same_job(store: Store) -> None:
    job, targets = job_for(NODE, key="k1")
    await store.create_job(job, targets)

    other, its_targets = job_for(NODE, key="k1", job_id="job-2")
    again = await store.create_job(other, its_targets, events=(NewEvent(1.0, "job.created"),))

    assert not again.created
    assert again.job.id == "job-1"
    assert again.targets == targets
    assert await store.events() == ()


@pytest.mark.parametrize(
    "other",
    [{"action": "stop_unit"}, {"args": ["lustre"]}, {"timeout_s": 5.0}, {"dry_run": True}, {}],
    ids=["action", "args", "timeout", "dry run", "nodes"],
)
async def test_a_key_used_for_something_else_is_refused(
    store: Store, other: dict[str, Any]
) -> None:
    await store.create_job(*job_for(NODE, key="k1"))
    nodes = [NODE] if other else []
    with pytest.raises(KeyReusedError, match="job-1"):
        await store.create_job(*job_for(*nodes, key="k1", job_id="job-2", **other))


async def test_another_requester_has_keys_of_their_own(store: Store) -> None:
    await store.create_job(*job_for(NODE, key="k1"))
    created = await store.create_job(*job_for(NODE, key="k1", job_id="job-2", requester="jo"))
    assert created.created


async def test_many_at_once_with_one_key_get_one_job(store: Store) -> None:
    made: list[tuple[bool, str]] = []

    async def create(number: int) -> None:
        created = await store.create_job(*job_for(NODE, key="k1", job_id=f"job-{number}"))
        made.append((created.created, created.job.id))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(create, number)

    assert sum(created for created, _ in made) == 1
    assert len({job_id for _, job_id in made}) == 1


async def test_a_target_goes_forward_and_never_back(store: Store) -> None:
    await store.create_job(*job_for(NODE))
    action = f"job-1-{NODE}"

    async def say(**news: Any) -> Target:
        await store.record(Changes(targets=(TargetProgress(action, **news),)))
        found = await store.job("job-1")
        assert found is not None
        return found[1][0]

    assert (await say(at=2.0, state="offered")).offered == 2.0
    assert (await say(at=3.0, state="started")).started == 3.0
    late = await say(at=4.0, state="accepted")
    assert (late.state, late.accepted) == ("started", None)
    told = await say(at=5.0, fraction=0.5, message="half", cancel="asked", cancel_requester="jo")
    assert (told.fraction, told.message, told.cancel, told.state) == (
        0.5,
        "half",
        "asked",
        "started",
    )
    await store.record(settled(ok(action)))
    assert (await say(at=6.0, state="started")).state == "final"


async def test_the_first_outcome_stays(store: Store) -> None:
    await store.create_job(*job_for(NODE))
    action = f"job-1-{NODE}"
    event = NewEvent(5.0, "job.target", NODE)

    first = await store.record(Changes(outcomes=(Remark(ok(action), (event,)),)))
    same = await store.record(Changes(outcomes=(Remark(ok(action, at=9.0), (event,)),)))
    other = await store.record(
        Changes(outcomes=(Remark(ok(action, kind="failed", result={"Err": "no"}), (event,)),))
    )

    assert [v.verdict for c in (first, same, other) for v in c.outcomes] == [
        "recorded",
        "repeated",
        "conflict",
    ]
    assert first.outcomes[0].job_done
    assert other.outcomes[0].first == ok(action)
    assert len(await store.events()) == 1
    found = await store.job("job-1")
    assert found is not None
    assert found[0].state == "done"
    assert found[1][0].outcome == ok(action)


async def test_a_manager_that_gave_up_is_corrected_by_the_node(store: Store) -> None:
    await store.create_job(*job_for(NODE))
    action = f"job-1-{NODE}"
    gave_up = ok(action, kind="unknown", by="manager", reason="no-contact", result=None)

    verdicts = [
        (await store.record(settled(outcome))).outcomes[0].verdict
        for outcome in (gave_up, ok(action), gave_up)
    ]

    assert verdicts == ["recorded", "resolved", "late"]
    found = await store.job("job-1")
    assert found is not None
    assert found[0].open_targets == 0
    assert found[1][0].outcome == ok(action)


async def test_a_result_for_an_id_of_another_node_is_an_orphan(store: Store) -> None:
    await store.record(Changes(nodes=(Node("oss2"),)))
    await store.create_job(*job_for("oss2"))

    committed = await store.record(settled(ok("job-1-oss2"), ok("nobody's")))

    assert [verdict.verdict for verdict in committed.outcomes] == ["orphan", "orphan"]
    assert {orphan.action_id for orphan in await store.orphans()} == {"job-1-oss2", "nobody's"}
    found = await store.job("job-1")
    assert found is not None
    assert found[0].state == "running"


async def test_jobs_are_listed_newest_first_and_counted(store: Store) -> None:
    await store.record(Changes(nodes=(Node("oss2"),)))
    for number in range(5):
        await store.create_job(*job_for(NODE, "oss2", job_id=f"job-{number}"))
    await store.record(settled(ok(f"job-4-{NODE}"), ok("job-4-oss2", node="oss2", kind="failed")))

    assert [job.id for job in await store.jobs(limit=2, before="job-4")] == ["job-3", "job-2"]
    assert [job.id for job in await store.jobs(state="done")] == ["job-4"]
    assert len(await store.jobs(state="running", requester="maria")) == 4
    assert await store.jobs(requester="jo") == ()
    tallies = await store.tallies(["job-3", "job-4"])
    assert tallies["job-3"] == {("queued", None): 2}
    assert tallies["job-4"] == {("final", "ok"): 1, ("final", "failed"): 1}


# Trails


async def test_events_are_numbered_without_gaps_and_read_from_anywhere(store: Store) -> None:
    assert await store.event_bounds() == (0, 0)
    committed = await store.record(
        Changes(events=tuple(NewEvent(1.0, kind, NODE, [kind]) for kind in "abc"))
    )

    assert [event.sequence for event in committed.events] == [1, 2, 3]
    assert [event.kind for event in await store.events(after=1)] == ["b", "c"]
    assert [event.kind for event in await store.events(limit=1)] == ["a"]
    assert [event.body for event in await store.events(kinds=["c"])] == [["c"]]
    assert await store.event_bounds() == (1, 3)


async def test_an_audit_trail_shows_where_it_was_touched(store: Store) -> None:
    for number in range(4):
        await store.audit(
            NewAudit(1.5, "user:maria", f"thing {number} \x00", detail={"b": 1, "a": 2})
        )

    trail = await store.audit_trail()
    assert broken_links(trail) == ()
    edited = replace(trail[1], entry=replace(trail[1].entry, actor="user:jo"))
    assert broken_links((trail[0], edited, *trail[2:])) == (2,)
    assert broken_links((trail[0], *trail[2:])) == (3,)
    assert broken_links(trail, length=await store.audit_length()) == ()
    assert broken_links(trail[:-1], length=await store.audit_length()) == (len(trail),)
    assert broken_links((), length=3) == (1,)
    assert broken_links((trail[1], trail[0], *trail[2:])) != ()


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param({}, [1, 2, 3, 4, 5], id="all"),
        pytest.param({"after": 1, "before": 4}, [2, 3], id="between"),
        pytest.param({"order": "newest", "limit": 2}, [5, 4], id="the-newest"),
        pytest.param({"order": "newest", "before": 4, "limit": 2}, [3, 2], id="older-ones"),
        pytest.param({"order": "newest", "after": 3}, [5, 4], id="newest-after"),
        pytest.param({"before": 1}, [], id="before-the-first"),
    ],
)
async def test_an_audit_trail_is_read_from_either_end(
    store: Store, window: dict[str, Any], expected: list[int]
) -> None:
    for number in range(5):
        await store.audit(NewAudit(1.5, "user:maria", f"thing {number}"))

    assert [line.sequence for line in await store.audit_trail(**window)] == expected


async def test_what_is_old_and_over_is_pruned(store: Store) -> None:
    ended = SessionRecord("s1", NODE, "host", "i", "ended", started=1.0, ended=2.0)
    alive = replace(ended, session_id="s2", state="active", ended=None)
    await store.record(
        Changes(sessions=(ended, alive), events=(NewEvent(1, "old"), NewEvent(99, "new")))
    )
    await store.create_job(*job_for(NODE, job_id="done"))
    await store.create_job(*job_for(NODE, job_id="open"))
    await store.record(settled(ok(f"done-{NODE}")))

    assert await store.prune(before=50.0) == 4

    assert [session.session_id for session in await store.sessions(node=NODE)] == ["s2"]
    assert [event.sequence for event in await store.events()] == [2]
    assert [job.id for job in await store.jobs()] == ["open"]


async def test_the_epoch_grows_when_asked(store: Store) -> None:
    before = (await store.load()).epoch
    assert await store.raise_epoch() == before + 1
    assert (await store.load()).epoch == before + 1


# Identity


def grant(name: str = "g1", **other: Any) -> EnrolmentGrant:
    made = EnrolmentGrant(name, hash_secret(name), "*", None, 1, 1, 1.0, 3600.0, "root")
    return replace(made, **other)


def certificate(fqdn: str, serial: str = "01") -> Certificate:
    return Certificate(serial, fqdn, 0.0, 9000.0, f"key-{serial}", "pem")


async def enrolled(store: Store, fqdn: str, **other: Any) -> None:
    name = f"g-{fqdn}"
    await store.add_grant(grant(name, **other), audit=NOTE)
    await store.enrol(name, certificate(fqdn, f"s-{fqdn}"), at=10.0, audit=NOTE)


async def test_a_grant_makes_a_node_and_is_used_up(store: Store) -> None:
    await store.add_grant(grant(role="oss"), audit=NOTE)
    node, replaced = await store.enrol("g1", certificate("new.example"), at=10.0, audit=NOTE)

    assert (node.state, node.role, node.enrolled, replaced) == ("new", "oss", 10.0, ())
    assert [one.fqdn for one in await store.nodes()] == ["new.example", NODE]
    with pytest.raises(GrantUnusableError):
        await store.enrol("g1", certificate("other.example", "02"), at=11.0, audit=NOTE)
    assert await store.node("other.example") is None
    found = await store.find_grant(hash_secret("g1"))
    assert found is not None
    assert found.uses_left == 0
    assert await store.find_grant("0" * 64) is None


@pytest.mark.parametrize("uses", [1, 3])
async def test_fifty_at_once_win_no_more_often_than_the_grant_says(store: Store, uses: int) -> None:
    await store.add_grant(grant(uses=uses, uses_left=uses), audit=NOTE)
    won: list[int] = []

    async def redeem(number: int) -> None:
        try:
            await store.enrol("g1", certificate(f"n{number}", f"{number}"), at=10.0, audit=NOTE)
            won.append(number)
        except GrantUnusableError:
            return

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(redeem, number)

    assert len(won) == uses
    assert len(await store.certificates()) == uses


@pytest.mark.parametrize("moment", [3600.0, 10**9], ids=["to the second", "long ago"])
async def test_an_expired_grant_is_worth_nothing(store: Store, moment: float) -> None:
    await store.add_grant(grant(), audit=NOTE)
    with pytest.raises(GrantUnusableError):
        await store.enrol("g1", certificate("new.example"), at=moment, audit=NOTE)


async def test_a_revoked_grant_is_worth_nothing(store: Store) -> None:
    await store.add_grant(grant(), audit=NOTE)
    assert await store.revoke_grant("g1", at=2.0, audit=NOTE)
    assert not await store.revoke_grant("g2", at=2.0, audit=NOTE)
    with pytest.raises(GrantUnusableError):
        await store.enrol("g1", certificate("new.example"), at=10.0, audit=NOTE)


async def test_a_live_name_is_taken_over_only_on_purpose(store: Store) -> None:
    await enrolled(store, "mds1")
    await store.add_grant(grant("plain"), audit=NOTE)
    with pytest.raises(NameAliveError, match="mds1"):
        await store.enrol("plain", certificate("mds1", "02"), at=10.0, audit=NOTE)
    untouched = await store.find_grant(hash_secret("plain"))
    assert untouched is not None
    assert untouched.uses_left == 1

    await store.add_grant(grant("replacing", replace=True), audit=NOTE)
    _, replaced = await store.enrol("replacing", certificate("mds1", "03"), at=20.0, audit=NOTE)

    assert [one.serial for one in replaced] == ["s-mds1"]
    assert await store.revoked_serials(now=21.0) == {"s-mds1": "mds1"}


async def test_an_expired_certificate_does_not_keep_a_name(store: Store) -> None:
    await enrolled(store, "mds1")
    await store.add_grant(grant(expires=10**9), audit=NOTE)
    node, replaced = await store.enrol("g1", certificate("mds1", "02"), at=9001.0, audit=NOTE)
    assert (node.fqdn, replaced) == ("mds1", ())


async def test_nothing_of_a_removed_node_is_seen_under_its_name(store: Store) -> None:
    await enrolled(store, "mds1")
    session = SessionRecord("s1", "mds1", "host", "i", started=1.0)
    value = LatestValue("mds1", "host", "s1", 1, 1, 1.0)
    await store.record(Changes(EnvelopeKey("mds1", "e1"), sessions=(session,), values=(value,)))
    await store.create_job(*job_for("mds1", job_id="waiting"))
    await store.create_job(*job_for("mds1", job_id="running"))
    await store.record(Changes(targets=(TargetProgress("running-mds1", 2.0, "started"),)))

    removed = await store.remove_node("mds1", at=30.0, reason="scrapped", audit=NOTE)

    assert removed is not None
    assert [one.serial for one in removed[1]] == ["s-mds1"]
    kinds = {one.outcome.action_id: one.outcome.kind for one in removed[0].outcomes}
    assert kinds == {"waiting-mds1": "cancelled", "running-mds1": "unknown"}
    loaded = await store.load()
    assert [node.fqdn for node in loaded.nodes] == [NODE]
    assert (loaded.sessions, loaded.targets, loaded.envelopes) == ((), (), {})
    assert await store.values() == ()
    assert "s-mds1" in await store.revoked_serials(now=31.0)
    assert await store.remove_node("mds1", at=31.0, reason="again", audit=NOTE) is None
    assert [node.fqdn for node in await store.nodes(removed=True)] == ["mds1", NODE]

    await enrolled(store, "mds1.example")
    await store.add_grant(grant("again"), audit=NOTE)
    node, _ = await store.enrol("again", certificate("mds1", "04"), at=40.0, audit=NOTE)
    assert (node.state, node.instance) == ("new", None)


async def test_a_job_that_a_new_enrolment_ends_is_told_as_done(store: Store) -> None:
    await enrolled(store, "mds1")
    await store.create_job(*job_for("mds1", job_id="alone"))
    await store.create_job(*job_for("mds1", NODE, job_id="shared"))
    await store.add_grant(grant("again", replace=True), audit=NOTE)

    await store.enrol("again", certificate("mds1", "05"), at=40.0, audit=NOTE)

    done = [event.body for event in await store.events() if event.kind == "job.done"]
    assert done == [{"job": "alone"}]


async def test_revoked_serials_are_dropped_when_they_have_expired(store: Store) -> None:
    await enrolled(store, "mds1")
    await store.remove_node("mds1", at=30.0, reason="scrapped", audit=NOTE)
    assert await store.revoked_serials(now=9000.0) == {}


async def test_a_revoked_node_keeps_all_but_its_certificates(store: Store) -> None:
    await enrolled(store, "mds1")
    value = LatestValue("mds1", "host", "s1", 1, 1, 1.0)
    await store.record(Changes(values=(value,)))

    revoked = await store.revoke_node("mds1", at=30.0, reason="stolen", audit=NOTE)

    assert revoked is not None
    assert [one.serial for one in revoked[1]] == ["s-mds1"]
    assert await store.revoked_serials(now=31.0) == {"s-mds1": "mds1"}
    assert await store.values(node="mds1") == (value,)
    (told,) = revoked[0].events
    assert (told.kind, told.body) == ("node.revoked", {"reason": "stolen", "certificates": 1})
    assert await store.revoke_node("nobody", at=31.0, reason="x", audit=NOTE) is None
    await store.remove_node("mds1", at=32.0, reason="gone", audit=NOTE)
    assert await store.revoke_node("mds1", at=33.0, reason="x", audit=NOTE) is None


async def test_a_node_waits_for_approval_where_its_token_asks_for_it(store: Store) -> None:
    await store.add_grant(grant("waits", approval=True), audit=NOTE)
    node, _ = await store.enrol("waits", certificate("mds1", "02"), at=10.0, audit=NOTE)
    assert node.waiting
    assert await store.waiting_nodes() == {"mds1"}
    # What the engine writes of a node does not approve it.
    await store.record(Changes(nodes=(Node("mds1", "online"),)))
    assert await store.waiting_nodes() == {"mds1"}

    approved = await store.approve_node("mds1", at=20.0, audit=NOTE)

    assert approved is not None
    assert [event.kind for event in approved.events] == ["node.approved"]
    assert await store.waiting_nodes() == frozenset()
    assert await store.approve_node("mds1", at=21.0, audit=NOTE) is None
    assert await store.approve_node("nobody", at=21.0, audit=NOTE) is None


async def test_labels_outlive_what_the_engine_writes_and_a_new_enrolment(store: Store) -> None:
    await store.add_grant(grant("twice", uses_left=3, replace=True), audit=NOTE)
    await store.enrol("twice", certificate("mds1", "02"), at=10.0, audit=NOTE)

    labelled = await store.label_node("mds1", {"rack": "r1"}, at=20.0, audit=NOTE)

    assert labelled is not None
    (told,) = labelled.events
    assert (told.kind, told.node, told.body) == (
        "node.labelled",
        "mds1",
        {"labels": {"rack": "r1"}},
    )
    await store.record(Changes(nodes=(Node("mds1", "online", labels={"rack": "r9"}),)))
    await store.enrol("twice", certificate("mds1", "03"), at=30.0, audit=NOTE)
    node = await store.node("mds1")
    assert node is not None
    assert node.labels == {"rack": "r1"}
    assert await store.label_node("nobody", {"rack": "r1"}, at=20.0, audit=NOTE) is None


async def test_labels_end_with_their_node(store: Store) -> None:
    await store.add_grant(grant("twice", uses_left=2), audit=NOTE)
    await store.enrol("twice", certificate("mds1", "02"), at=10.0, audit=NOTE)
    await store.label_node("mds1", {"rack": "r1"}, at=20.0, audit=NOTE)
    await store.remove_node("mds1", at=30.0, reason="scrapped", audit=NOTE)

    assert await store.label_node("mds1", {"rack": "r1"}, at=40.0, audit=NOTE) is None
    await store.enrol("twice", certificate("mds1", "03"), at=50.0, audit=NOTE)
    node = await store.node("mds1")
    assert node is not None
    assert node.labels == {}


# Users


async def test_mandates_are_kept_as_they_were_given(store: Store) -> None:
    mandates = (Mandate("oss*", ("start_*", "stop"), {"unit": ("lnet", "a'; --")}), Mandate())
    await store.add_user(User("maria", "operator", 1.0, mandates=mandates), audit=NOTE)
    await store.add_token(ApiToken("t1", hash_secret("s"), "maria", 1.0), audit=NOTE)

    assert [user.mandates for user in await store.users()] == [mandates]
    found = await store.find_token(hash_secret("s"), now=2.0)
    assert found is not None
    assert found[1].mandates == mandates
    assert await store.bind_user("maria", (), audit=NOTE)
    assert [user.mandates for user in await store.users()] == [()]
    assert not await store.bind_user("jo", (), audit=NOTE)


async def test_a_token_is_good_while_its_user_and_it_are(store: Store) -> None:
    assert await store.add_user(User("maria", "operator", 1.0), audit=NOTE)
    assert not await store.add_user(User("maria", "admin", 2.0), audit=NOTE)
    token = ApiToken("t1", hash_secret("secret"), "maria", 1.0, expires=100.0)
    assert await store.add_token(token, audit=NOTE)
    assert not await store.add_token(replace(token, id="t2", user="jo"), audit=NOTE)
    find = partial(store.find_token, hash_secret("secret"))

    assert await find(now=99.0) == (token, User("maria", "operator", 1.0))
    assert await find(now=100.0) is None
    assert await store.find_token(hash_secret("guess"), now=1.0) is None
    await store.touch_tokens({"t1": 50.0})
    assert [one.last_used for one in await store.tokens()] == [50.0]
    assert await store.disable_user("maria", at=60.0, audit=NOTE)
    assert not await store.disable_user("jo", at=60.0, audit=NOTE)
    assert await find(now=61.0) is None


async def test_a_revoked_token_and_one_whose_user_is_gone_are_worthless(store: Store) -> None:
    for name in ("maria", "jo"):
        await store.add_user(User(name, "viewer", 1.0), audit=NOTE)
        await store.add_token(ApiToken(name, hash_secret(name), name, 1.0), audit=NOTE)

    assert await store.revoke_token("maria", at=2.0, audit=NOTE)
    assert not await store.revoke_token("nobody", at=2.0, audit=NOTE)
    assert await store.delete_user("jo", audit=NOTE)
    assert not await store.delete_user("jo", audit=NOTE)

    assert await store.find_token(hash_secret("maria"), now=3.0) is None
    assert await store.find_token(hash_secret("jo"), now=3.0) is None
    assert [user.name for user in await store.users()] == ["maria"]


async def test_no_secret_is_shown_by_a_record() -> None:
    token = ApiToken("t1", hash_secret("secret"), "maria", 1.0)
    assert hash_secret("secret") not in repr(token) + repr(grant("secret"))


async def test_a_removed_node_is_not_brought_back_by_a_late_write(store: Store) -> None:
    await store.remove_node(NODE, at=30.0, reason="scrapped", audit=NOTE)
    await store.record(Changes(nodes=(Node(NODE, "online"),)))
    node = await store.node(NODE)
    assert node is not None
    assert (node.state, node.reason) == ("removed", "scrapped")


async def test_a_node_that_has_its_key_may_enrol_again(store: Store) -> None:
    await enrolled(store, "mds1")
    await store.add_grant(grant("plain"), audit=NOTE)
    _, replaced = await store.enrol(
        "plain", replace(certificate("mds1", "02"), key_sha256="key-s-mds1"), at=20.0, audit=NOTE
    )
    assert [one.serial for one in replaced] == ["s-mds1"]
    kinds = [(event.kind, event.node, event.body) for event in await store.events()]
    assert kinds == [
        ("node.enrolled", "mds1", {"role": None, "again": False, "waiting": False}),
        ("node.enrolled", "mds1", {"role": None, "again": True, "waiting": False}),
    ]


# Rollouts


async def test_what_is_held_is_released_once_and_only_what_is_held(store: Store) -> None:
    job, (first,) = job_for(NODE)
    second = replace(first, action_id="b", state="held", batch=2, apart="pair")
    third = replace(first, action_id="c", state="held", batch=2)
    job = replace(job, rollout={"batch": 1}, deadline=99.0)
    await store.create_job(job, (first, second, third))
    await store.record(settled(ok("c", kind="cancelled", by="manager")))

    freed = await store.rollouts.release(job.id, ("b", "c"), batch=2, at=7.0)

    assert freed.targets == (replace(second, state="queued", queued=7.0),)
    (event,) = freed.events
    assert (event.kind, event.body) == ("job.released", {"job": job.id, "batch": 2, "targets": 1})
    found = await store.job(job.id)
    assert found is not None
    assert (found[0].rollout, found[0].deadline, found[0].open_targets) == ({"batch": 1}, 99.0, 2)


async def test_what_is_stopped_has_an_outcome_and_counts_as_done(store: Store) -> None:
    job, (first,) = job_for(NODE)
    second = replace(first, action_id="b", state="held", batch=2)
    await store.create_job(job, (first, second))
    ids = (first.action_id, "b")

    stopped = await store.rollouts.stop(job.id, ids, kind="expired", reason="deadline", at=7.0)
    again = await store.rollouts.stop(job.id, ids, kind="cancelled", reason="late", at=8.0)
    last = await store.record(settled(ok(first.action_id)))

    assert (stopped.count, again.count) == (1, 0)
    assert [event.kind for event in stopped.events] == ["job.stopped"]
    found = await store.job(job.id)
    assert found is not None
    outcomes = {one.action_id: one.outcome for one in found[1]}
    expected = Outcome("b", NODE, "expired", 7.0, by="manager", reason="deadline")
    assert outcomes["b"] == expected
    assert last.outcomes[0].job_done


async def test_the_last_that_is_stopped_ends_the_job(store: Store) -> None:
    job, (first,) = job_for(NODE)
    await store.create_job(job, (replace(first, state="held"),))

    ids = (first.action_id,)
    stopped = await store.rollouts.stop(job.id, ids, kind="cancelled", reason="x", at=7.0)

    assert [event.kind for event in stopped.events] == ["job.stopped", "job.done"]


async def test_what_is_held_of_a_removed_node_was_never_run(store: Store) -> None:
    job, (first,) = job_for(NODE)
    await store.create_job(job, (replace(first, state="held"),))

    await store.remove_node(NODE, at=9.0, reason="gone", audit=NOTE)

    found = await store.job(job.id)
    assert found is not None
    outcome = found[1][0].outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == ("cancelled", "node-removed")


async def test_jobs_are_found_by_action(store: Store) -> None:
    for job_id, action in (("job-1", "a"), ("job-2", "b")):
        job, targets = job_for(NODE, job_id=job_id, action=action)
        await store.create_job(job, targets)

    assert [job.id for job in await store.jobs(action="a")] == ["job-1"]


async def test_groups_are_kept_changed_and_forgotten(store: Store) -> None:
    group = Group("spare", "oss[1-2]", 5.0, "maria")

    assert await store.groups.put(group) is True
    assert await store.groups.put(replace(group, nodes="oss3", changed_by="ann")) is False
    assert await store.groups.listed() == (replace(group, nodes="oss3", changed_by="ann"),)
    assert await store.groups.remove("spare") is True
    assert await store.groups.remove("spare") is False
    assert await store.groups.listed() == ()


# People who sign in with a browser


async def a_user(store: Store, name: str = "maria") -> None:
    assert await store.add_user(User(name, "operator", 1.0), audit=NOTE)


def a_login(secret: str, created: float, token_id: str | None = None) -> Login:
    return Login(
        secret, hash_secret(secret), "maria", "link", created, created + 100, created, token_id
    )


async def test_a_login_code_is_used_up_once_by_many_who_try_together(store: Store) -> None:
    await a_user(store)
    assert await store.logins.add_code(LoginCode("c1", "maria", 1.0, 10.0), audit=NOTE)
    found: list[str | None] = []

    async def redeem() -> None:
        found.append(await store.logins.redeem_code("c1", at=5.0))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(redeem)

    assert sorted(found, key=str) == [*[None] * 19, "maria"]


async def test_a_login_code_is_over_in_time_and_for_who_may_not_sign_in(store: Store) -> None:
    await a_user(store)
    await store.logins.add_code(LoginCode("c1", "maria", 1.0, 10.0), audit=NOTE)
    await store.logins.add_code(LoginCode("c2", "maria", 1.0, 10.0), audit=NOTE)
    assert not await store.logins.add_code(LoginCode("c3", "nobody", 1.0, 10.0), audit=NOTE)

    assert await store.logins.redeem_code("c1", at=10.0) is None
    await store.disable_user("maria", at=5.0, audit=NOTE)
    assert await store.logins.redeem_code("c2", at=6.0) is None
    assert not await store.logins.add_login(a_login("s", 6.0), audit=NOTE)


async def test_a_login_is_good_until_it_is_old_idle_ended_or_its_user_is_gone(store: Store) -> None:
    await a_user(store)
    for secret in ("s1", "s2"):
        assert await store.logins.add_login(a_login(secret, 10.0), audit=NOTE)
    logins = store.logins

    async def good(secret: str, now: float) -> bool:
        return await logins.find_login(hash_secret(secret), now=now, idle_s=50.0) is not None

    assert await good("s1", 59.0)
    assert not await good("s1", 60.0)
    await logins.touch_login("s1", at=59.0)
    assert await good("s1", 108.0)
    assert not await good("s1", 110.0)
    assert {one.id for one in await logins.logins("maria", now=20.0, idle_s=50.0)} == {"s1", "s2"}
    assert not await logins.end_login("another", "s2", audit=NOTE)
    assert await logins.end_login("maria", "s2", audit=NOTE)
    assert not await good("s2", 20.0)
    await store.delete_user("maria", audit=NOTE)
    assert not await good("s1", 60.0)


async def test_a_new_password_replaces_the_old_one_and_ends_every_login(store: Store) -> None:
    await a_user(store)
    await store.logins.add_login(a_login("s1", 10.0), audit=NOTE)
    assert await store.logins.set_password("maria", "h1", at=11.0, audit=NOTE)
    assert await store.logins.set_password("maria", "h2", at=12.0, audit=NOTE)

    assert await store.logins.password("maria") == "h2"
    assert await store.logins.find_login(hash_secret("s1"), now=12.0, idle_s=50.0) is None
    assert not await store.logins.set_password("nobody", "h", at=12.0, audit=NOTE)
    await store.disable_user("maria", at=13.0, audit=NOTE)
    assert await store.logins.password("maria") is None


async def test_the_roll_and_a_nodes_file_know_what_is_enrolled(store: Store) -> None:
    await store.record(Changes(nodes=(Node(NODE, state="online", last_contact=7.0),)))

    assert [(one.fqdn, one.state, one.last_contact) for one in await store.roll()] == [
        (NODE, "online", 7.0)
    ]
    file = await store.node_file(NODE)
    assert file is not None
    assert file.past == ()
    assert await store.node_file("nobody") is None
