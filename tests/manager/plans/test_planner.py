"""The rules of a running plan: one table of stories, and a machine that tries everything else."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from emf_manager.plans import planner as p
from emf_manager.plans.views import FINAL


def plan(timeout_s: float | None = None, **jobs: str) -> p.Run:
    """Make a plan of ``job="need need: step step?"``; marks: ! goes on, + always, - failure."""
    shapes = {}
    for name, text in jobs.items():
        needs, _, steps = text.rpartition(":")
        shapes[name] = p.JobShape(name, tuple(needs.split()), tuple(map(shape, steps.split())))
    return p.fresh(shapes, timeout_s=timeout_s, now=0.0)


def shape(text: str) -> p.StepShape:
    marks = {"+": "always", "-": "failure", "0": "never"}
    when = marks.get(text[-1], "success")
    return p.StepShape(text.rstrip("!+-0"), when, text.endswith("!"))  # type: ignore[arg-type]


def go(run: p.Run, *events: p.Event, now: float = 1.0) -> tuple[p.Run, list[str]]:
    """Apply events; tell the orders as short texts."""
    said: list[str] = []
    for event in events or (p.Go(),):
        run, orders = p.step(run, event, now)
        said += [f"{type(order).__name__} {'.'.join(order.key)}" for order in orders]
    return run, said


def states(run: p.Run) -> str:
    return " ".join(f"{job}.{step}={run.steps[job, step].state}" for job, step in run.steps)


def ok(key: str) -> p.Ended:
    job, _, step = key.partition(".")
    return p.Ended((job, step), "succeeded")


def bad(key: str, state: str = "failed") -> p.Ended:
    job, _, step = key.partition(".")
    return p.Ended((job, step), state, "it broke")  # type: ignore[arg-type]


def test_jobs_without_needs_start_beside_each_other_and_steps_in_order() -> None:
    run, said = go(plan(a=":x y", b=":z"))

    assert said == ["Start a.x", "Start b.z"]
    run, said = go(run, ok("a.x"))
    assert said == ["Start a.y"]


def test_a_job_starts_once_all_it_needs_has_succeeded() -> None:
    run, _ = go(plan(c="a b:z", a=":x", b=":y"))
    run, said = go(run, ok("a.x"))
    assert said == []
    run, said = go(run, ok("b.y"))
    assert said == ["Start c.z"]
    run, _ = go(run, ok("c.z"))
    assert p.run_state(run) == "succeeded"


def test_a_failed_step_ends_its_job_and_skips_what_needs_it_with_the_reason() -> None:
    run, _ = go(plan(a=":x y", b="a:z", c="b:w", d=":v"))
    run, said = go(run, bad("a.x"))

    assert said == []
    assert run.steps["a", "y"].reason == "step x did not succeed"
    assert run.steps["b", "z"].reason == "it needs job a, which failed"
    assert run.steps["c", "w"].reason == "it needs job b, which was skipped"
    assert p.run_state(run) == "running"
    run, _ = go(run, ok("d.v"))
    assert p.run_state(run) == "failed"
    assert p.job_states(run) == {"a": "failed", "b": "skipped", "c": "skipped", "d": "succeeded"}
    assert p.job_reason(run, "a", "failed") == "it broke"


def test_a_step_that_may_fail_does_not_end_its_job() -> None:
    run, _ = go(plan(a=":x! y", b="a:z"))
    run, said = go(run, bad("a.x"))
    assert said == ["Start a.y"]
    run, said = go(run, ok("a.y"))
    assert said == ["Start b.z"]
    assert p.run_state(go(run, ok("b.z"))[0]) == "succeeded"


@pytest.mark.parametrize(
    ("steps", "end", "said", "after"),
    [
        pytest.param("x y z+", bad, ["Start a.z"], "y=skipped", id="always after a failure"),
        pytest.param("x z-", bad, ["Start a.z"], "x=failed", id="failure after a failure"),
        pytest.param("x z- y", ok, ["Start a.y"], "z=skipped", id="failure after a success"),
        pytest.param("x z0 y", ok, ["Start a.y"], "z=skipped", id="never"),
        pytest.param("x z+", ok, ["Start a.z"], "x=succeeded", id="always after a success"),
    ],
)
def test_a_step_runs_when_it_says(steps: str, end: object, said: list[str], after: str) -> None:
    run, _ = go(plan(a=f":{steps}"))
    run, orders = go(run, end("a.x"))  # type: ignore[operator]

    assert orders == said
    assert f"a.{after}" in states(run)


def test_a_cancelled_plan_starts_nothing_and_waits_for_what_runs() -> None:
    run, _ = go(plan(a=":x y", b="a:z"), p.Go(), p.Begun(("a", "x"), "job1"))
    run, said = go(run, p.Halt("cancelled", "maria cancelled it"))

    assert said == ["CancelStep a.x"]
    assert states(run) == "a.x=running a.y=pending b.z=cancelled"
    run, said = go(run, p.Halt("cancelled", "again"), bad("a.x", "cancelled"))
    assert said == []
    assert states(run) == "a.x=cancelled a.y=cancelled b.z=cancelled"
    assert {each.reason for each in run.steps.values()} == {"maria cancelled it"}
    assert p.run_state(run) == "cancelled"


def test_a_step_being_started_is_cancelled_as_soon_as_it_has_its_job() -> None:
    run, _ = go(plan(a=":x"))
    run, said = go(run, p.Halt("cancelled", "maria cancelled it"))
    assert said == []
    run, said = go(run, p.Begun(("a", "x"), "job1"))
    assert said == ["CancelStep a.x"]


def test_a_plan_whose_last_step_finished_first_was_not_cancelled() -> None:
    run, _ = go(plan(a=":x"), p.Go(), p.Begun(("a", "x"), "job1"))
    run, _ = go(run, p.Halt("cancelled", "maria cancelled it"), ok("a.x"))

    assert p.run_state(run) == "succeeded"


def test_a_plan_over_its_timeout_is_stopped() -> None:
    run, _ = go(plan(30.0, a=":x y"), p.Go(), p.Begun(("a", "x"), "job1"))
    assert p.due(run) == 30.0
    run, said = go(run, p.Tick(), now=30.0)
    assert said == ["CancelStep a.x"]
    run, _ = go(run, bad("a.x", "cancelled"))
    assert p.run_state(run) == "timed_out"
    assert run.steps["a", "y"].reason == "the plan's timeout passed (30 s)"


def test_a_job_over_its_timeout_fails_and_the_others_go_on() -> None:
    shapes = {
        "a": p.JobShape("a", (), (p.StepShape("x"), p.StepShape("y", "always")), timeout_s=10.0),
        "b": p.JobShape("b", (), (p.StepShape("z"),)),
    }
    run, _ = go(p.fresh(shapes, timeout_s=None, now=0.0), p.Go(), p.Begun(("a", "x"), "j1"))
    assert p.due(run) == 11.0
    run, said = go(run, p.Tick(), now=11.0)
    assert said == ["CancelStep a.x"]
    assert p.due(run) is None
    run, said = go(run, bad("a.x", "cancelled"))

    assert said == []
    assert run.steps["a", "x"].state == "failed"
    assert run.steps["a", "y"].reason == "the timeout of job a passed (10 s)"
    assert p.job_states(run) == {"a": "failed", "b": "running"}


def test_a_resumed_plan_keeps_what_succeeded_and_goes_on_where_each_job_stopped() -> None:
    run, _ = go(plan(a=":x y z clean+", b="a:w", c=":v"))
    run, _ = go(run, ok("c.v"), ok("a.x"), bad("a.y"), ok("a.clean"))
    assert p.run_state(run) == "failed"
    run = p.resume(run, 100.0)

    run, said = go(run)
    assert said == ["Start a.y"]
    assert states(run).startswith("a.x=succeeded a.y=running a.z=pending a.clean=pending")
    assert (run.steps["a", "x"].attempt, run.steps["a", "y"].attempt) == (1, 2)
    run, said = go(run, ok("a.y"), ok("a.z"), ok("a.clean"), ok("b.w"))
    assert said == ["Start a.z", "Start a.clean", "Start b.w"]
    assert p.run_state(run) == "succeeded"


def test_a_resumed_plan_passes_over_what_was_skipped_by_its_own_condition() -> None:
    run, _ = go(plan(a=":x undo- y z"))
    run, _ = go(run, ok("a.x"), ok("a.y"), bad("a.z"))
    run, said = go(p.resume(run, 100.0))

    assert said == ["Start a.z"]


@pytest.mark.parametrize("end", [ok, None])
def test_only_a_plan_that_ended_badly_can_be_resumed(end: object) -> None:
    run, _ = go(plan(a=":x"))
    if end is not None:
        run, _ = go(run, ok("a.x"))

    with pytest.raises(ValueError, match="it is "):
        p.resume(run, 0.0)


class AnyPlan(RuleBasedStateMachine):
    """Plays a manager that starts, ends, forgets, cancels and resumes in any order."""

    @initialize(data=st.data())
    def make(self, data: st.DataObject) -> None:
        shapes: dict[str, p.JobShape] = {}
        for number in range(data.draw(st.integers(1, 4))):
            needs = (
                data.draw(st.lists(st.sampled_from(sorted(shapes)), unique=True)) if shapes else []
            )
            steps = tuple(
                p.StepShape(
                    f"s{place}",
                    data.draw(
                        st.sampled_from(("success", "success", "failure", "always", "never"))
                    ),
                    data.draw(st.booleans()),
                )
                for place in range(data.draw(st.integers(1, 3)))
            )
            timeout = data.draw(st.sampled_from((None, None, 5.0)))
            shapes[f"j{number}"] = p.JobShape(f"j{number}", tuple(needs), steps, timeout)
        self.now = 0.0
        timeout_s = data.draw(st.sampled_from((None, 12.0)))
        self.run = p.fresh(shapes, timeout_s=timeout_s, now=self.now)
        self.starting: set[p.StepKey] = set()
        self.running: dict[p.StepKey, str] = {}
        self.cancelled: set[p.StepKey] = set()
        self.final: dict[p.StepKey, str] = {}
        self.made = 0
        self.take(p.Go())

    def take(self, event: p.Event) -> None:
        halted = self.run.halt is not None or isinstance(event, p.Halt)
        self.run, orders = p.step(self.run, event, self.now)
        states = p.job_states(self.run)
        for order in orders:
            job = self.run.jobs[order.key[0]]
            if isinstance(order, p.Start):
                assert not halted
                assert all(states[need] == "succeeded" for need in job.needs)
                assert order.key not in self.starting | set(self.running)
                earlier = [self.run.steps[job.name, s.id].state for s in before(job, order.key[1])]
                assert FINAL.issuperset(earlier)
                self.starting.add(order.key)
            else:
                assert self.running[order.key] == order.job_id
                assert order.key not in self.cancelled
                self.cancelled.add(order.key)
        for key, each in self.run.steps.items():
            if each.state in FINAL:
                assert self.final.setdefault(key, each.state) == each.state

    @precondition(lambda self: self.starting)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.starting)))
        self.starting.remove(key)
        self.made += 1
        self.running[key] = f"job{self.made}"
        self.take(p.Begun(key, self.running[key]))

    @precondition(lambda self: self.starting)
    @rule(data=st.data(), state=st.sampled_from(("failed", "skipped", "cancelled")))
    def refuse(self, data: st.DataObject, state: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.starting)))
        self.starting.remove(key)
        self.take(p.Ended(key, state, "could not start"))  # type: ignore[arg-type]

    @precondition(lambda self: self.running)
    @rule(data=st.data(), state=st.sampled_from(("succeeded", "succeeded", "failed", "cancelled")))
    def end(self, data: st.DataObject, state: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[key]
        self.take(p.Ended(key, state))  # type: ignore[arg-type]
        self.take(p.Ended(key, "failed", "said twice"))

    @rule()
    def cancel(self) -> None:
        self.take(p.Halt("cancelled", "somebody"))

    @rule(seconds=st.floats(0.1, 6.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(p.Tick())
        due = p.due(self.run)
        assert due is None or due > self.now

    @rule()
    def look_again(self) -> None:
        before_it = self.run
        self.take(p.Go())
        assert self.run == before_it

    @precondition(lambda self: p.run_state(self.run) not in {"running", "succeeded"})
    @rule()
    def resume(self) -> None:
        kept = {key for key, each in self.run.steps.items() if each.state == "succeeded"}
        self.run = p.resume(self.run, self.now)
        self.cancelled.clear()
        self.final = {k: s.state for k, s in self.run.steps.items() if s.state in FINAL}
        assert all(key in kept or state == "failed" for key, state in self.final.items())
        self.take(p.Go())

    @invariant()
    def counts_add_up_and_nothing_hangs(self) -> None:
        counts = p.count_steps(self.run)
        parts = (counts.pending, counts.running, counts.succeeded, counts.failed)
        assert counts.steps == sum(parts) + counts.skipped + counts.cancelled
        assert counts.running == len(self.starting) + len(self.running)
        if counts.running == 0:
            assert counts.pending == 0
        assert (p.run_state(self.run) == "running") == (counts.running > 0)


def before(job: p.JobShape, step: str) -> list[p.StepShape]:
    names = [each.id for each in job.steps]
    return list(job.steps[: names.index(step)])


AnyPlan.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestAnyPlan = AnyPlan.TestCase
