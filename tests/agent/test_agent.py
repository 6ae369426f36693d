"""The whole agent in virtual time, against a manager that fails in every way it can."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emf_agent.agent import Agent, Parts, Tuning
from emf_agent.backoff import Backoff
from emf_agent.errors import ManagerUnreachableError
from emf_agent.host_facts import HostFacts
from emf_agent.journal import Journal
from emf_agent.plugin import Daemon, action
from emf_agent.registry import (
    RegisteredAction,
    RegisteredService,
    Registry,
    register_daemon,
)
from emf_agent.testing import FakeManager, VirtualTimeLoop, open_unthreaded_journal
from emf_agent.wire import (
    ActionProgress,
    AgentReport,
    Err,
    Ok,
    PluginReport,
    SessionCreateRequest,
)

pytestmark = pytest.mark.anyio

EFFECTS: list[str] = []


@action
async def work(name: str) -> str:
    """Work for half a minute."""
    EFFECTS.append(name)
    await anyio.sleep(30)
    return name


@action
async def quick(name: str) -> str:
    """Work at once."""
    EFFECTS.append(name)
    return name


class Load(Daemon):
    """Says how many updates there were."""

    name = "load"

    def __init__(self) -> None:
        self._n = 0

    async def update_session(self) -> dict[str, int]:
        self._n += 1
        return {"n": self._n}


class Broken(Daemon):
    """Always fails."""

    name = "broken"

    async def update_session(self) -> dict[str, int]:
        raise RuntimeError("no such device")


def registry(
    services: tuple[RegisteredService, ...] = (), kinds: tuple[type[Daemon], ...] = (Load, Broken)
) -> Registry:
    return Registry(
        plugins=(
            PluginReport(
                name="p",
                distribution="d",
                version="1",
                state="loaded",
                reason=None,
                daemons=("load",),
            ),
            PluginReport(
                name="q",
                distribution="e",
                version="1",
                state="refused",
                reason="not on the allowlist",
            ),
        ),
        actions={one.name: RegisteredAction("p", one) for one in (work, quick)},
        daemons={kind.name: register_daemon("p", kind) for kind in kinds},
        services=services,
    )


class Node:
    """An agent that can be started, killed and started again on one disk."""

    def __init__(self, directory: Path, manager: FakeManager, seed: int = 1) -> None:
        self.directory = directory
        self.manager = manager
        self.random = Random(seed)
        self.starts = 0
        self.agent: Agent | None = None
        self.services: tuple[RegisteredService, ...] = ()
        self.kinds: tuple[type[Daemon], ...] = (Load, Broken)
        self.on_ready: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[anyio.Event]:
        """Run; leaving kills the process, setting the event ends it orderly."""
        self.starts += 1
        stop = anyio.Event()
        async with open_unthreaded_journal(
            self.directory, wall_clock=lambda: 1e9 + anyio.current_time()
        ) as journal:
            self.agent = Agent(
                Parts(
                    facts=HostFacts("n1", "boot", f"start {self.starts}", "boot-id"),
                    registry=registry(self.services, self.kinds),
                    journal=journal,
                    transport=self.manager,
                    state_directory=self.directory,
                    tuning=Tuning(backoff=Backoff(first_s=1.0, cap_s=5.0)),
                    random=self.random,
                    wall_clock=lambda: 1e9 + anyio.current_time(),
                    on_ready=self.on_ready,
                )
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.agent.run, stop)
                yield stop
                if not stop.is_set():
                    journal._store = None  # a killed process writes nothing more
                    tasks.cancel_scope.cancel()


def start(name: str, action_id: str, args: Any) -> dict[str, Any]:
    return {"type": "ACTION_START", "action": name, "args": args, "id": action_id}


async def test_hello_comes_first_and_every_session_forms(tmp_path: Path) -> None:
    manager = FakeManager()
    async with Node(tmp_path, manager).running():
        await anyio.sleep(12)

        assert manager.envelopes[0].hello is not None
        assert manager.hellos[0].journal_id
        assert {"agent", "action_runner", "load"} <= manager.sessions.keys()
        assert manager.values("load")[0] == {"n": 1}


async def test_what_is_asked_together_travels_together(tmp_path: Path) -> None:
    manager = FakeManager()
    async with Node(tmp_path, manager).running():
        await anyio.sleep(1)

        first = manager.envelopes[0]
        asked = {one.plugin for one in first.messages if isinstance(one, SessionCreateRequest)}
        assert len(asked) >= 3, "a request of its own for each"


@pytest.mark.parametrize("together", [True, False], ids=["in one answer", "one after the other"])
async def test_a_cancel_never_overtakes_its_start(tmp_path: Path, *, together: bool) -> None:
    EFFECTS.clear()
    manager = FakeManager()
    async with Node(tmp_path, manager).running():
        await anyio.sleep(1)
        for number in range(20):
            manager.send("action_runner", start("work", f"i{number}", "a"))
            if not together:
                await anyio.sleep(0.1)
            manager.send("action_runner", {"type": "ACTION_CANCEL", "id": f"i{number}"})
        await anyio.sleep(60)

        results = manager.results()
        assert {key: [one.outcome for one in found] for key, found in results.items()} == {
            f"i{number}": ["cancelled"] for number in range(20)
        }


async def test_an_agent_without_a_journal_says_so_and_takes_no_actions(tmp_path: Path) -> None:
    manager, stop = FakeManager(), anyio.Event()
    journal = Journal(None, "the disk is read-only, then restart the agent")
    parts = Parts(
        facts=HostFacts("n1", "boot", "start 1", "boot-id"),
        registry=registry(),
        journal=journal,
        transport=manager,
        state_directory=tmp_path,
        detached="no systemd runs here",
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Agent(parts).run, stop)
        await anyio.sleep(12)
        manager.send("action_runner", start("quick", "i1", "ann"))
        manager.send("action_runner", {"type": "ACTION_CANCEL", "id": "i0"})
        await anyio.sleep(5)

        assert manager.hellos[0].journal_id == ""
        assert manager.hellos[0].journal_fault == journal.fault
        report = AgentReport.model_validate(manager.values("agent")[0])
        assert report.health.actions_fault == journal.fault
        assert "no systemd runs here" in str(report.health.detached)
        assert manager.values("load")[0] == {"n": 1}
        (refused,) = manager.results()["i1"]
        assert refused.outcome == "refused"
        assert "read-only" in str(refused.reason)
        stop.set()


async def test_the_agent_describes_itself(tmp_path: Path) -> None:
    manager = FakeManager()
    async with Node(tmp_path, manager).running():
        await anyio.sleep(60)

        report = AgentReport.model_validate(manager.values("agent")[-1])
        assert [(one.name, one.state) for one in report.plugins] == [
            ("p", "loaded"),
            ("q", "refused"),
        ]
        assert [one.name for one in report.actions] == ["quick", "work"]
        health = {one.name: one for one in report.health.daemons}
        assert health["load"].condition == "ok"
        assert health["broken"].condition == "failed"
        assert health["broken"].reason == "no such device"
        assert report.catalogue_digest == manager.hellos[0].catalogue_digest


async def test_a_quiet_agent_sends_its_description_once(tmp_path: Path) -> None:
    manager = FakeManager()
    node = Node(tmp_path, manager)
    node.kinds = (Load,)
    async with node.running():
        await anyio.sleep(60)
        described = len(manager.values("agent"))
        await anyio.sleep(1200)

        assert described >= 1
        assert len(manager.values("agent")) == described


async def test_an_action_runs_and_its_result_arrives_once(tmp_path: Path) -> None:
    EFFECTS.clear()
    manager = FakeManager()
    async with Node(tmp_path, manager).running():
        await anyio.sleep(1)
        manager.send("action_runner", start("work", "i1", "a"))
        await anyio.sleep(40)

        ((result,),) = manager.results().values()
        assert result.result == Ok(value="a")
        assert EFFECTS == ["a"]


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        (None, {"Err"}),
        ("x", {"Err"}),
        ({"type": "ACTION_DANCE", "id": "i1"}, {"Ok"}),
        ({"type": "ACTION_START", "action": "quick", "id": "i1"}, {"Ok"}),
    ],
    ids=["null", "string", "unknown type", "args missing"],
)
async def test_an_order_that_cannot_be_read_is_answered(
    tmp_path: Path, body: Any, answered: set[str]
) -> None:
    manager = FakeManager()
    async with Node(tmp_path, manager).running():
        await anyio.sleep(1)
        manager.send("action_runner", body)
        manager.send("action_runner", start("quick", "i2", "b"))
        await anyio.sleep(5)

        assert set(dict(manager.values("action_runner")[0])) == answered  # type: ignore[arg-type]
        assert manager.values("action_runner")[-1] == {
            "Ok": {
                "id": "i2",
                "result": {"Ok": "b"},
                "outcome": "ok",
                "seconds": 0.0,
            }
        }


async def test_a_network_cut_of_two_minutes_cancels_nothing(tmp_path: Path) -> None:
    EFFECTS.clear()
    manager = FakeManager()
    async with Node(tmp_path, manager).running():
        await anyio.sleep(1)
        manager.send("action_runner", start("work", "i1", "a"))
        await anyio.sleep(1)
        sessions = dict(manager.sessions)
        manager.cut()
        await anyio.sleep(120)
        manager.heal()
        await anyio.sleep(15)

        ((result,),) = manager.results().values()
        assert result.result == Ok(value="a")
        kept = {name: session for name, session in manager.sessions.items() if name != "broken"}
        assert kept.items() <= sessions.items()
        assert len(manager.hellos) == 2


async def test_a_manager_killed_while_an_action_runs_gets_the_result_once(tmp_path: Path) -> None:
    EFFECTS.clear()
    manager = FakeManager()
    async with Node(tmp_path, manager).running():
        await anyio.sleep(1)
        manager.send("action_runner", start("work", "i1", "a"))
        await anyio.sleep(5)
        manager.restart(forget=True)
        await anyio.sleep(60)

        ((result,),) = manager.results().values()
        assert result.outcome == "ok"
        assert EFFECTS == ["a"]


async def test_an_agent_killed_in_mid_action_says_unknown_and_never_runs_it_again(
    tmp_path: Path,
) -> None:
    EFFECTS.clear()
    manager = FakeManager()
    node = Node(tmp_path, manager)
    async with node.running():
        await anyio.sleep(1)
        manager.send("action_runner", start("work", "i1", "a"))
        await anyio.sleep(5)
    async with node.running():
        await anyio.sleep(5)
        manager.send("action_runner", start("work", "i1", "a"))
        await anyio.sleep(60)

        results = manager.results()["i1"]
        assert {one.outcome for one in results} == {"unknown"}
        assert results[0].reason == "agent-restart"
        assert EFFECTS == ["a"]


async def test_an_orderly_end_is_quick_and_tells_the_manager_everything(tmp_path: Path) -> None:
    manager = FakeManager()
    async with Node(tmp_path, manager).running() as stop:
        await anyio.sleep(1)
        manager.send("action_runner", start("work", "i1", "a"))
        await anyio.sleep(5)
        began = anyio.current_time()
        stop.set()
    assert anyio.current_time() - began < 5
    assert manager.goodbyes == ["the agent stops"]
    assert {"agent", "action_runner", "load"} <= {one.plugin for one in manager.ended}
    ((result,),) = manager.results().values()
    assert result.outcome == "cancelled"


async def test_an_orderly_end_without_a_manager_is_quick_too(tmp_path: Path) -> None:
    manager = FakeManager()
    async with Node(tmp_path, manager).running() as stop:
        await anyio.sleep(1)
        manager.cut()
        await anyio.sleep(10)
        began = anyio.current_time()
        stop.set()
    assert anyio.current_time() - began < 5


async def test_towards_an_ancestor_every_report_is_its_own_kind(tmp_path: Path) -> None:
    manager = FakeManager(protocol=1)
    async with Node(tmp_path, manager).running():
        await anyio.sleep(1)
        manager.send("action_runner", start("quick", "i1", "a"))
        manager.send("action_runner", start("no_such", "i2", None))
        manager.send("action_runner", {"type": "ACTION_CANCEL", "id": "ghost"})
        await anyio.sleep(5)

        assert sorted(manager.values("action_runner"), key=str) == [
            {"Ok": {"id": "ghost", "result": {"Ok": None}}},
            {"Ok": {"id": "i1", "result": {"Ok": "a"}}},
            {"Ok": {"id": "i2", "result": {"Err": "no action named 'no_such' on this node"}}},
        ]
        later = [one for one in manager.envelopes[1:] if one.id or one.hello]
        assert later == []


async def test_progress_reaches_the_manager_while_it_runs(tmp_path: Path) -> None:
    manager = FakeManager()
    async with Node(tmp_path, manager).running():
        await anyio.sleep(1)
        manager.send("action_runner", start("work", "i1", "a"))
        await anyio.sleep(10)

        kinds = [type(one).__name__ for one in manager.reports()]
        assert kinds == ["ActionAccepted", "ActionStarted"]
        assert not any(isinstance(one, ActionProgress) for one in manager.reports())


async def test_a_service_that_fails_is_started_again_and_takes_nothing_with_it(
    tmp_path: Path,
) -> None:
    calls: list[float] = []

    async def service() -> None:
        calls.append(anyio.current_time())
        raise OSError("port in use")

    manager = FakeManager()
    node = Node(tmp_path, manager)
    node.services = (RegisteredService("p", service),)
    async with node.running():
        await anyio.sleep(60)

        assert len(calls) > 5
        assert len(manager.values("load")) >= 5


async def test_ready_is_said_once_everything_runs(tmp_path: Path) -> None:
    said: list[bool] = []
    node = Node(tmp_path, FakeManager())
    node.on_ready = lambda: said.append(True)
    async with node.running():
        await anyio.sleep(1)

        assert said == [True]


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["cut", "heal", "lose request", "lose answer", "restart", "forget", "kill"]
        ),
        st.floats(0.1, 40.0),
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(faults=FAULTS, seed=st.integers(0, 1000))
def test_every_action_has_one_effect_at_most_and_one_outcome_under_any_faults(
    tmp_path_factory: pytest.TempPathFactory, faults: list[tuple[str, float]], seed: int
) -> None:
    EFFECTS.clear()
    directory = tmp_path_factory.mktemp("node")
    manager = anyio.run(
        scenario,
        directory,
        faults,
        seed,
        backend_options={"loop_factory": VirtualTimeLoop},
    )

    for action_id, results in manager.results().items():
        outcomes = {(one.outcome, str(one.result)) for one in results}
        assert len(outcomes) == 1, f"{action_id} ended in two ways: {outcomes}"
    assert len(EFFECTS) == len(set(EFFECTS)), "an effect happened twice"
    answered = set(manager.results())
    assert {f"i-{name}" for name in EFFECTS} <= answered, "an effect without an outcome"
    for result in (one for results in manager.results().values() for one in results):
        if result.outcome == "ok":
            assert result.result == Ok(value=result.id.removeprefix("i-"))
        else:
            assert isinstance(result.result, Err)


async def scenario(directory: Path, faults: list[tuple[str, float]], seed: int) -> FakeManager:
    """Offer two actions before each fault, heal, and let everything drain."""
    manager = FakeManager()
    node = Node(directory, manager, seed)
    todo = [*faults, ("heal", 1.0)]
    number = 0
    while todo:
        async with node.running():
            while todo:
                fault, after_s = todo.pop(0)
                for name in ("work", "quick"):
                    number += 1
                    if "action_runner" in manager.sessions:
                        order = start(name, f"i-{number}", str(number))
                        manager.send("action_runner", order)
                await anyio.sleep(after_s)
                strike(manager, fault)
                if fault == "kill":
                    break
            if not todo:
                manager.heal()
                await anyio.sleep(300)
    return manager


def strike(manager: FakeManager, fault: str) -> None:
    def lost() -> None:
        raise ManagerUnreachableError("https://manager", "lost")

    match fault:
        case "cut":
            manager.cut()
        case "heal":
            manager.heal()
        case "lose request":
            manager.before_post = lost
        case "lose answer":
            manager.after_post = lost
        case "restart":
            manager.restart(forget=False)
        case "forget":
            manager.restart(forget=True)
