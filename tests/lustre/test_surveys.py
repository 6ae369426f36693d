"""Daemons that list something for each file system, in virtual time and without programs."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.errors import ActionError
from emf_agent.plugin import DaemonContext, DaemonFault
from emf_plugins_lustre.pools.actions import wait_until_listed
from emf_plugins_lustre.surveys import Survey, SurveyDaemon, merge

names = st.sampled_from(["a", "b", "c", "d"])
values = st.dictionaries(names, st.integers())


@given(values, values, st.dictionaries(names, st.text()))
def test_what_failed_keeps_its_value_what_was_found_wins_and_the_rest_is_gone(
    known: dict[str, int], found: dict[str, int], failed: dict[str, str]
) -> None:
    merged = merge(known, Survey(found, failed))
    for name in "abcd":
        if name in found:
            assert merged[name] == found[name]
        elif name in failed and name in known:
            assert merged[name] == known[name]
        else:
            assert name not in merged


class Scripted(SurveyDaemon[int]):
    """Finds what the test says; an exception is raised, a float is how long it takes."""

    name: ClassVar[str] = "scripted"

    def __init__(self, *script: Survey[int] | Exception | float) -> None:
        super().__init__()
        self.script = list(script)
        self.looks: list[float] = []
        self.woken = anyio.Event()
        self.context = replace(DaemonContext(), wake=lambda: self.woken.set())

    async def survey(self) -> Survey[int]:
        self.looks.append(anyio.current_time())
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, float):
            await anyio.sleep(step)
            return await self.survey()
        if isinstance(step, Exception):
            raise step
        return step


@pytest.mark.anyio
async def test_a_change_is_noticed_within_the_pause_and_wakes_the_session() -> None:
    daemon = Scripted(Survey({"fs1": 1}), Survey({"fs1": 1}), Survey({"fs1": 2}))
    assert await daemon.start_session() == {"fs1": 1}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.watch_session)
        await daemon.woken.wait()
        tasks.cancel_scope.cancel()
    assert await daemon.update_session() == {"fs1": 2}
    assert [round(b - a) for a, b in zip(daemon.looks, daemon.looks[1:], strict=False)] == [10, 10]


@pytest.mark.anyio
async def test_news_of_one_file_system_is_told_before_the_fault_of_another() -> None:
    daemon = Scripted(Survey({"a": 1}, {"b": "no answer"}))
    assert await daemon.start_session() == {"a": 1}
    with pytest.raises(DaemonFault, match="could not list b: no answer"):
        await daemon.update_session()


@pytest.mark.anyio
async def test_a_first_look_that_takes_long_does_not_fail_the_start() -> None:
    daemon = Scripted(20.0, Survey({"fs1": 1}))
    assert await daemon.start_session() is None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.watch_session)
        await daemon.woken.wait()
        tasks.cancel_scope.cancel()
    assert await daemon.update_session() == {"fs1": 1}


@pytest.mark.anyio
async def test_a_look_that_never_ends_is_a_fault() -> None:
    daemon = Scripted(Survey({"fs1": 1}), 1e6, Survey({"fs1": 2}))
    await daemon.start_session()
    with anyio.move_on_after(75):
        await daemon.watch_session()
    with pytest.raises(DaemonFault, match="longer than 60 s"):
        await daemon.update_session()


@pytest.mark.anyio
async def test_an_error_of_all_is_a_fault_and_the_value_is_kept() -> None:
    daemon = Scripted(Survey({"fs1": 1}), ActionError("lctl is out"), Survey({"fs1": 1}))
    await daemon.start_session()
    await daemon._look(starting=False)
    with pytest.raises(DaemonFault, match="lctl is out"):
        await daemon.update_session()
    await daemon._look(starting=False)
    assert await daemon.update_session() == {"fs1": 1}


@pytest.mark.anyio
async def test_a_pool_that_is_listed_in_time_is_waited_for() -> None:
    looks = []

    async def is_listed() -> bool:
        looks.append(anyio.current_time())
        return len(looks) == 200

    await wait_until_listed("fs1.flash", is_listed)
    assert looks[-1] - looks[0] == pytest.approx(99.5)


@pytest.mark.anyio
async def test_a_pool_that_never_comes_is_given_up_after_two_minutes() -> None:
    async def is_listed() -> bool:
        return False

    with pytest.raises(ActionError) as caught:
        await wait_until_listed("fs1.flash", is_listed)
    assert str(caught.value) == '"pool fs1.flash not listed after 120 s"'
