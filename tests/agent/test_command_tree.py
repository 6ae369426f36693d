"""Cancelled, late or left: a program's whole process tree is gone, however it has spread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from emf_agent.command import (
    CgroupContainment,
    CommandStuckError,
    CommandTimeoutError,
    Containment,
    Line,
    SessionContainment,
    Surroundings,
    choose_containment,
    open_command,
    run,
)
from emf_agent.command.containment import (
    CgroupEnclosure,
    Enclosure,
    describe_process,
    process_lives,
)
from tests.agent.rigs import frozen
from tests.agent.rigs.mounting import rig, why_no_mounts

pytestmark = pytest.mark.anyio

LONG_S = 60.0

TREE = r"""#!/bin/sh
# Three plain children, one deaf to TERM, one session leader, one more without our environment, one
# stopped, a daemon that double-forked and is deaf to TERM and HUP, and an orphan of our session
# without our environment.
for n in 1 2 3; do sleep 600 & echo $! >"$1/plain$n"; done
sh -c 'trap "" TERM; echo $$ >"$0/deaf"; while :; do sleep 600; done' "$1" &
setsid sh -c 'echo $$ >"$0/setsid"; exec sleep 600' "$1" &
env -i setsid sh -c 'echo $$ >"$0/bare"; exec sleep 600' "$1" &
sh -c 'echo $$ >"$0/stopped"; kill -STOP $$; sleep 600' "$1" &
(setsid sh -c '(trap "" TERM HUP; sh -c "echo \$\$ >\"\$0/daemon\"; exec sleep 600" "$0" \
    </dev/null >/dev/null 2>&1 &)' "$1" &)
(env -i sh -c 'echo $$ >"$0/orphan"; exec sleep 600' "$1" &)
for name in deaf setsid bare stopped daemon orphan; do
    until [ -s "$1/$name" ]; do sleep 0.01; done
done
echo ready
wait
sleep 600
"""

NAMES = {"plain1", "plain2", "plain3", "deaf", "setsid", "bare", "stopped", "daemon", "orphan"}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Real time: real processes take part."""
    return str(request.param)


@dataclass(frozen=True)
class Tree:
    """The program, and where its processes write their ids."""

    argv: tuple[str, ...]
    directory: Path

    def pids(self) -> dict[str, int]:
        """Return who has reported."""
        return {path.name: int(path.read_text()) for path in self.directory.iterdir()}

    def survivors(self) -> list[str]:
        """Return who still lives."""
        return [name for name, pid in self.pids().items() if process_lives(pid)]


@pytest.fixture
def tree(tmp_path: Path) -> Generator[Tree, None, None]:
    """The tree of the worst program we know; what survives a failed test is ended here."""
    script = tmp_path / "tree"
    script.write_text(TREE)
    script.chmod(0o755)
    directory = tmp_path / "pids"
    directory.mkdir()
    made = Tree((str(script), str(directory)), directory)
    yield made
    for name in made.survivors():
        os.kill(made.pids()[name], signal.SIGKILL)


async def cancelled_once_ready(tree: Tree, grace_s: float) -> None:
    """Run the tree, and cancel it when all of it stands."""
    with anyio.fail_after(LONG_S), anyio.CancelScope() as scope:

        def ready(line: Line) -> None:
            assert line.text == "ready"
            scope.cancel()

        await run(tree.argv, on_output=ready, grace_s=grace_s)
    assert scope.cancelled_caught
    assert set(tree.pids()) == NAMES


@pytest.mark.parametrize("grace_s", [0.0, 0.1])
async def test_cancel_leaves_nobody(containment: Containment, tree: Tree, grace_s: float) -> None:
    with Surroundings(containment=containment).entered():
        await cancelled_once_ready(tree, grace_s)
    assert tree.survivors() == []


async def test_a_cgroup_is_emptied_and_removed_on_kernels_without_its_kill_file(
    cgroup: Path, tree: Tree
) -> None:
    class OlderKernel(CgroupEnclosure):
        def _write(self, name: str, text: str) -> None:
            if name == "cgroup.kill":
                raise FileNotFoundError(name)
            super()._write(name, text)

    class OlderContainment(CgroupContainment):
        def enclose(self, command_id: str) -> CgroupEnclosure:
            path = self.directory / command_id
            path.mkdir()
            return OlderKernel(path, set())

    with Surroundings(containment=OlderContainment(cgroup)).entered():
        await cancelled_once_ready(tree, 0.0)
    assert tree.survivors() == []
    assert not [path for path in cgroup.iterdir() if path.is_dir()]


async def test_a_program_out_of_time_leaves_nobody(containment: Containment, tree: Tree) -> None:
    # The time begins when the tree stands; a loaded machine then changes nothing.
    with Surroundings(containment=containment).entered(), anyio.fail_after(LONG_S):
        async with open_command(tree.argv, grace_s=0.0) as stream:
            assert await stream.lines().__anext__() == "ready"
            with pytest.raises(CommandTimeoutError, match=r"timed out after 0.05 s"):
                await run(["sleep", "600"], timeout_s=0.05)
            assert set(tree.survivors()) == NAMES
    assert tree.survivors() == []


async def test_leaving_the_stream_by_an_error_leaves_nobody(
    containment: Containment, tree: Tree
) -> None:
    async def fail() -> None:
        async with open_command(tree.argv, grace_s=0.0) as stream:
            async for _ in stream.lines():
                raise LookupError("as it was raised")

    with (
        Surroundings(containment=containment).entered(),
        pytest.raises(LookupError, match="as it was raised"),
    ):
        await fail()
    assert tree.survivors() == []


async def test_other_programs_are_not_touched(tree: Tree) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as bystander:
        await cancelled_once_ready(tree, 0.0)
        assert bystander.poll() is None
        bystander.kill()


async def test_a_program_may_tidy_up_before_it_is_killed(tmp_path: Path) -> None:
    script = 'trap "echo tidied >$0/note; exit 0" TERM; echo ready; while :; do sleep 0.01; done'
    with anyio.CancelScope() as scope:
        await run(
            ["sh", "-c", script, str(tmp_path)],
            on_output=lambda _: scope.cancel(),
            grace_s=LONG_S,
        )
    assert (tmp_path / "note").read_text() == "tidied\n"


async def test_last_words_that_fill_the_pipe_do_not_hold_up_the_end() -> None:
    script = (
        "trap 'head -c 500000 /dev/zero; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
    )
    with anyio.fail_after(LONG_S), anyio.CancelScope() as scope:
        await run(["sh", "-c", script], on_output=lambda _: scope.cancel(), grace_s=LONG_S)
    assert scope.cancelled_caught


class Undying:
    """An enclosure that holds a process which no signal ends, as one on a hung mount."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.asked: list[str] = []

    def wrap(self, argv: Sequence[str]) -> Sequence[str]:
        """Return the program itself."""
        return argv

    def opened(self, pid: int) -> None:
        """Remember the child, to end it at least."""
        self._child = pid

    def members(self) -> list[int]:
        """Return the process that stays."""
        return [self._pid]

    def terminate(self) -> None:
        """Record it."""
        self.asked.append("terminate")

    def kill(self) -> None:
        """Record it, and end the child."""
        self.asked.append("kill")
        os.kill(self._child, signal.SIGKILL)

    def close(self) -> None:
        """Record it."""
        self.asked.append("close")


@dataclass(frozen=True)
class Hopeless:
    """A containment with that enclosure."""

    enclosure: Undying
    name: str = "hopeless"

    def enclose(self, command_id: str) -> Enclosure:
        """Return the one enclosure."""
        return self.enclosure


async def test_what_sigkill_does_not_end_is_told_even_to_a_cancelled_caller() -> None:
    undying = Undying(os.getpid())
    around = Surroundings(containment=Hopeless(undying), kill_deadline_s=0.05)
    with around.entered(), anyio.fail_after(LONG_S), anyio.CancelScope() as scope:
        with pytest.raises(CommandStuckError, match=r"sh could not be stopped: .*\(pid ") as caught:
            await run(
                ["sh", "-c", "echo ready; exec sleep 600"],
                on_output=lambda _: scope.cancel(),
                grace_s=0.01,
            )
        assert [process.pid for process in caught.value.processes] == [os.getpid()]
    assert undying.asked[0] == "terminate"
    assert "kill" in undying.asked
    assert undying.asked[-1] == "close"


@pytest.mark.skipif(why_no_mounts() is not None, reason=str(why_no_mounts()))
def test_a_program_that_hangs_in_the_kernel_is_named_with_where_it_hangs(
    tmp_path: Path, anyio_backend_name: str
) -> None:
    found = rig(frozen, str(tmp_path), anyio_backend_name)
    [(name, state, wchan)] = found["processes"]
    assert (name, state) == ("touch", "D")
    assert found["text"].startswith("touch could not be stopped: touch (pid ")
    assert wchan != "?"


def test_a_process_is_described_by_what_it_waits_for() -> None:
    described = describe_process(os.getpid())
    assert described.pid == os.getpid()
    assert described.state in "RS"
    assert described.name
    assert describe_process(2**22 + 1).state == "?"


async def test_a_daemon_that_a_good_program_left_lives_on_and_its_cgroup_goes_later(
    cgroup: Path,
) -> None:
    containment = CgroupContainment(cgroup)
    with Surroundings(containment=containment).entered():
        done = await run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"])
        daemon = int(done.stdout.text)
        assert process_lives(daemon)
        [left] = [path for path in cgroup.iterdir() if path.is_dir()]
        assert (left / "cgroup.procs").read_text() == f"{daemon}\n"
        (left / "cgroup.kill").write_text("1")
        while process_lives(daemon):
            await anyio.sleep(0.001)
        await run(["true"])
    assert not [path for path in cgroup.iterdir() if path.is_dir()]


async def test_a_thread_reaches_the_door_through_the_loop() -> None:
    def action() -> str:
        return anyio.from_thread.run(run, ["echo", "from a thread"]).stdout.text

    assert await anyio.to_thread.run_sync(action) == "from a thread\n"


def test_without_a_delegated_cgroup_a_session_is_chosen(tmp_path: Path) -> None:
    assert choose_containment(tmp_path / "missing") == SessionContainment()
    assert choose_containment(tmp_path) == SessionContainment()


def test_a_delegated_cgroup_is_chosen(cgroup: Path) -> None:
    assert choose_containment(cgroup) == CgroupContainment(cgroup)


def in_marked_cgroup(cgroup: Path) -> str:
    """Return what a process chooses whose own cgroup systemd marked as delegated."""
    os.setxattr(cgroup, "trusted.delegate", b"1")
    code = "from emf_agent.command import choose_containment; print(choose_containment())"
    join = 'echo 0 >"$0/cgroup.procs" && exec "$@"'
    return subprocess.run(
        ["sh", "-c", join, str(cgroup), sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_the_mark_that_systemd_leaves_is_found(cgroup: Path) -> None:
    try:
        chosen = in_marked_cgroup(cgroup)
    except OSError as error:
        pytest.skip(f"no attribute can be set on a cgroup here: {error}")
    assert chosen == f"CgroupContainment(directory={cgroup!r})\n"
