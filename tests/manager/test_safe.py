"""Secret arguments at rest: sealed under a key of their own, opened when a start is handed out."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.errors import ConfigurationError
from emf_manager.safe import Safe, SealError, open_safe
from emf_manager.views import ConflictError, JobOrder
from tests.manager.engine_bench import FQDN, Agent, Bench, manager
from tests.manager.test_engine import RUNNER, described, hello, report, result

CANARY = "hunter2-canary"
LOGIN = {
    "type": "object",
    "properties": {
        "user": {"type": "string"},
        "password": {"type": "string", "format": "password", "writeOnly": True},
    },
    "required": ["user", "password"],
    "x-positional": ["user", "password"],
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES, st.text())
def test_what_is_sealed_is_opened_by_the_same_key_only(value: Any, about: str) -> None:
    safe = Safe()
    sealed = safe.seal(value, about=about)

    assert safe.open(sealed, about=about) == value
    with pytest.raises(SealError):
        safe.open(sealed, about=about + "x")
    with pytest.raises(SealError):
        Safe().open(sealed, about=about)


@pytest.mark.parametrize("sealed", ["", "A", "AAAA", "ä", "A" * 100, "\x00"])
def test_what_is_no_seal_is_refused(sealed: str) -> None:
    with pytest.raises(SealError, match="order it again"):
        Safe().open(sealed, about="a")


def test_two_seals_of_one_value_differ_and_its_digest_does_not() -> None:
    safe = Safe()

    assert safe.seal("a", about="x") != safe.seal("a", about="x")
    assert safe.digest({"a": 1, "b": 2}) == safe.digest({"b": 2, "a": 1})
    assert safe.digest("a") != Safe().digest("a")


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "seal.key"
    sealed = open_safe(path).seal(CANARY, about="x")

    assert open_safe(path).open(sealed, about="x") == CANARY
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["seal.key"]
    assert repr(open_safe(path)) == "Safe('***')"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_bytes(b"short"), "no key"),
        (lambda path: path.chmod(0o640), "chmod 0600"),
    ],
)
def test_a_key_that_is_none_is_named(tmp_path: Path, spoil: Any, says: str) -> None:
    path = tmp_path / "seal.key"
    open_safe(path)
    spoil(path)

    with pytest.raises(ConfigurationError, match=says):
        open_safe(path)


# The manager


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the store works in threads


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench, None]:
    async with manager(tmp_path / "manager.db") as running:
        yield running


async def known(bench: Bench) -> tuple[Agent, str]:
    """Return an agent that has told what it can do, and its session of the action runner."""
    await bench.enrol(FQDN)
    agent = Agent(bench)
    await agent.post(hello=hello())
    session = await agent.open("agent")
    await agent.say("agent", session, report(described("login", LOGIN)))
    return agent, await agent.open(RUNNER)


def login(args: Any = None, **rest: Any) -> JobOrder:
    args = {"user": "m", "password": CANARY} if args is None else args
    return JobOrder(action="login", nodes=(FQDN,), requester="maria", args=args, **rest)


def columns(bench: Bench) -> tuple[str, Any, Any]:
    """Return everything in the database as text, and both columns of the one job."""
    with closing(sqlite3.connect(bench.path)) as raw:
        sealed, digest = raw.execute("SELECT sealed, secret_digest FROM jobs").fetchone()
        return "\n".join(raw.iterdump()), sealed, digest


@pytest.mark.anyio
@pytest.mark.parametrize(
    "args",
    [{"user": "m", "password": CANARY}, ["m", CANARY]],
    ids=["by name", "by place"],
)
async def test_a_secret_is_on_the_way_to_its_node_and_nowhere_else(bench: Bench, args: Any) -> None:
    agent, session = await known(bench)

    job = await bench.engine.create_job(login(args))

    before, sealed, digest = columns(bench)
    assert CANARY not in before
    assert sealed is not None
    assert CANARY not in repr(job)
    await bench.restart()
    (message,) = [one for one in await agent.poll() if one["type"] == "DATA"]
    assert message["body"]["args"] == args
    await agent.say(RUNNER, session, result(message["body"]["id"], True))
    done = await bench.engine.job(job.id)
    assert done.targets[0].outcome == "ok"
    after, sealed, kept = columns(bench)
    assert CANARY not in after
    assert (sealed, kept) == (None, digest)


@pytest.mark.anyio
async def test_the_same_order_is_recognised_by_its_secret_too(bench: Bench) -> None:
    await known(bench)
    first = await bench.engine.create_job(login(idempotency_key="k"))

    assert (await bench.engine.create_job(login(idempotency_key="k"))).id == first.id
    with pytest.raises(ConflictError):
        await bench.engine.create_job(
            login({"user": "m", "password": "another"}, idempotency_key="k")
        )


@pytest.mark.anyio
async def test_what_was_sealed_with_a_lost_key_is_refused_with_the_reason(bench: Bench) -> None:
    agent, _ = await known(bench)
    job = await bench.engine.create_job(login())
    bench.safe = Safe()
    await bench.restart()

    got = await agent.poll()

    assert [one for one in got if one["type"] == "DATA"] == []
    (target,) = (await bench.engine.job(job.id)).targets
    assert target.outcome == "refused"
    assert "key that is lost" in str(target.reason)


@pytest.mark.anyio
async def test_arguments_without_a_secret_are_kept_as_they_are(bench: Bench) -> None:
    agent = Agent(bench)
    await bench.enrol(FQDN)
    session = await agent.open("agent")
    plain = described("login", {"type": "object", "properties": {"user": {"type": "string"}}})
    await agent.say("agent", session, report(plain))

    job = await bench.engine.create_job(login({"user": "m"}))

    assert job.args == {"user": "m"}
    assert columns(bench)[1:] == (None, None)
