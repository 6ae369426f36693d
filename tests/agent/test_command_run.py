"""Programs are run with what was said, nothing else, and their end is told as it was."""

from __future__ import annotations

import ast
import os
import sys
from functools import partial
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emf_agent.command import (
    PROGRAM_PATH_VARIABLE,
    CgroupContainment,
    CommandFailedError,
    CommandNotFoundError,
    CommandNotStartedError,
    CommandTimeoutError,
    Containment,
    Line,
    SessionContainment,
    Surroundings,
    run,
)
from emf_agent.errors import ActionError, CommandError
from emf_agent.plugin import Secret

pytestmark = pytest.mark.anyio

LONG_S = 60.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Real time: real processes take part."""
    return str(request.param)


def program(path: Path, text: str) -> str:
    """Write an executable script that root may run."""
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


async def test_output_comes_back_in_two_streams() -> None:
    done = await run(["sh", "-c", "echo out; echo err >&2"], timeout_s=LONG_S)
    assert (done.returncode, done.stdout.text, done.stderr.text) == (0, "out\n", "err\n")
    assert done.argv == ("sh", "-c", "echo out; echo err >&2")
    assert done.seconds > 0


async def test_a_failure_reads_as_the_ancestor_wrote_it() -> None:
    with pytest.raises(CommandFailedError) as caught:
        await run(["sh", "-c", "echo out; echo no such pool >&2; exit 2"])
    assert str(caught.value) == "exit code: 2, stdout: out\n, stderr: no such pool\n"
    assert caught.value.completed.returncode == 2
    assert isinstance(caught.value, CommandError)
    assert isinstance(caught.value, ActionError)


async def test_death_by_a_signal_is_told_apart() -> None:
    with pytest.raises(CommandFailedError, match=r"^signal: 9, stdout: , stderr: $"):
        await run(["sh", "-c", "kill -9 $$"])


async def test_a_caller_says_which_codes_are_no_failure() -> None:
    assert (await run(["sh", "-c", "exit 3"], ok_codes=(0, 3))).returncode == 3


@pytest.mark.parametrize(
    ("argv", "error", "text"),
    [
        pytest.param(
            ["no-such-program"],
            CommandNotFoundError,
            r"^no-such-program: No such file or directory \(os error 2\), looked in /usr/sbin:",
            id="missing, by name",
        ),
        pytest.param(
            ["/no/such/program"],
            CommandNotFoundError,
            r"^/no/such/program: No such file or directory \(os error 2\)$",
            id="missing, by path",
        ),
        pytest.param(
            ["/etc/passwd"],
            CommandNotStartedError,
            r"Permission denied \(os error 13\)",
            id="not executable",
        ),
        pytest.param(
            ["/etc"],
            CommandNotStartedError,
            r"Permission denied \(os error 13\)",
            id="a directory",
        ),
        pytest.param(
            ["/etc/passwd/x"],
            CommandNotStartedError,
            r"Not a directory \(os error 20\)",
            id="below a file",
        ),
        pytest.param(
            ["./true"], CommandNotStartedError, "bare name or its absolute path", id="relative"
        ),
        pytest.param(
            ["true", "a\0b"], CommandNotStartedError, "argument 1 contains a NUL", id="NUL"
        ),
        pytest.param([""], CommandNotFoundError, "No such file", id="empty name"),
        pytest.param(
            ["true", "x" * 1_000_000],
            CommandNotStartedError,
            r"Argument list too long \(os error 7\)",
            id="one megabyte",
        ),
    ],
)
async def test_what_cannot_be_started_says_why(
    argv: list[str], error: type[CommandNotStartedError], text: str
) -> None:
    with pytest.raises(error, match=text):
        await run(argv)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        pytest.param("rm -rf /tmp/x", "not one string", id="a shell's string"),
        pytest.param([], "empty", id="nothing"),
        pytest.param(["kill", 9], "expected str|not str", id="a number"),
        pytest.param(["echo", b"x"], "argument 1 is bytes", id="bytes"),
    ],
)
async def test_what_is_no_list_of_arguments_is_a_mistake_of_the_caller(
    argv: list[str], text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        await run(argv)


async def test_a_missing_directory_is_not_blamed_on_the_program() -> None:
    with pytest.raises(CommandNotStartedError, match="true: no directory /no/such/place"):
        await run(["true"], cwd="/no/such/place")


async def test_a_missing_interpreter_is_named_with_its_script(tmp_path: Path) -> None:
    script = program(tmp_path / "script", "#!/no/such/interpreter\n")
    with pytest.raises(CommandNotFoundError, match="script: No such file"):
        await run([script])


@pytest.mark.parametrize("value", ["A=B", "", "A\0"])
async def test_a_wrong_environment_name_is_refused(value: str) -> None:
    with pytest.raises(CommandNotStartedError, match="environment variable"):
        await run(["true"], env={value: "x"})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has this to lose")
@pytest.mark.parametrize(
    ("mode", "owner", "text"),
    [
        pytest.param(0o757, 0, "others than root can write it", id="writable by all"),
        pytest.param(0o755, 65534, "belongs to user 65534", id="another's"),
    ],
)
async def test_root_runs_nothing_that_others_can_change(
    tmp_path: Path, mode: int, owner: int, text: str
) -> None:
    script = program(tmp_path / "tool", "#!/bin/sh\n")
    os.chown(script, owner, 0)
    Path(script).chmod(mode)
    with pytest.raises(CommandNotStartedError, match=text):
        await run([script])


async def test_the_agents_own_path_is_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "true", "#!/bin/sh\necho hostile\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    assert (await run(["true"])).stdout.text == ""


async def test_a_test_puts_its_own_programs_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "lctl", "#!/bin/sh\necho fake | cat\n")
    monkeypatch.setenv(PROGRAM_PATH_VARIABLE, str(tmp_path))
    assert (await run(["lctl"])).stdout.text == "fake\n"
    with pytest.raises(CommandNotFoundError, match=f"looked in {tmp_path}$"):
        await run(["true"])
    with Surroundings(containment=SessionContainment()).entered():
        assert (await run(["lctl"])).stdout.text == "fake\n"

    other = tmp_path / "other"
    other.mkdir()
    program(other / "lctl", "#!/bin/sh\necho another\n")
    with Surroundings(search_path=(str(other),)).entered():
        assert (await run(["lctl"])).stdout.text == "another\n"
    assert (await run(["lctl"])).stdout.text == "fake\n"


RECORDER = """
import os, resource, sys
print(repr({
    "environment": dict(os.environ),
    "descriptors": sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1],
    "cwd": os.getcwd(),
    "umask": os.umask(0),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "session": os.getsid(0) == os.getpid(),
    "stdin": os.readlink("/proc/self/fd/0"),
}))
"""


async def test_a_child_gets_the_fixed_surroundings_and_nothing_more(
    containment: Containment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "CREDENTIALS_DIRECTORY", "PYTHONPATH", "LD_DEBUG"):
        monkeypatch.setenv(name, "/hostile")
    inherited = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        with Surroundings(containment=containment).entered():
            done = await run([sys.executable, "-I", "-S", "-c", RECORDER], env={"DECLARED": "yes"})
    finally:
        os.close(inherited)
    seen = ast.literal_eval(done.stdout.text)
    environment = seen.pop("environment")
    assert len(environment.pop("EMF_COMMAND_ID")) == 32
    # A /bin/sh that is bash counts its level even in what it hands over to.
    environment.pop("SHLVL", None)
    assert environment == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "HOME": "/",
        "TZ": "UTC",
        "DECLARED": "yes",
    }
    assert seen == {
        "descriptors": [0, 1, 2],
        "cwd": "/",
        "umask": 0o077,
        "core": (0, 0),
        "session": True,
        "stdin": "/dev/null",
    }


NASTY = st.text(
    st.one_of(
        st.sampled_from(" -;|&$`\n\"'\\*?[](){}<>!#~=%\t"),
        st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]),
    ),
    max_size=40,
) | st.sampled_from(["--config=/etc/passwd", "$(id)", "-", "--", "", "x" * 100_000])


@settings(max_examples=25, deadline=None)
@given(arguments=st.lists(NASTY, min_size=1, max_size=12))
def test_arguments_reach_the_program_as_they_were_given(arguments: list[str]) -> None:
    # printf(1) writes each argument as it got it, and a NUL after it.
    call = partial(run, ["printf", "%s\\0", *arguments], output_limit_bytes=4_000_000)
    done = anyio.run(call)
    assert done.stdout.raw == b"".join(a.encode() + b"\0" for a in arguments)


async def test_the_join_script_adds_nothing_to_the_arguments(containment: Containment) -> None:
    arguments = ["$(id)", "a b", "-x", "'\"", "\n", "", "*", "é"]
    with Surroundings(containment=containment).entered():
        done = await run(["printf", "%s\\0", *arguments])
    assert done.stdout.raw == b"".join(a.encode() + b"\0" for a in arguments)


@pytest.mark.parametrize(
    "stdin",
    [
        pytest.param("text ✓", id="text"),
        pytest.param(b"\0\xff", id="bytes"),
        pytest.param(b"x" * 1_000_000, id="more than a pipe holds"),
        pytest.param("", id="nothing"),
        pytest.param(Secret("hunter2"), id="a secret"),
    ],
)
async def test_a_program_reads_what_it_is_fed(stdin: str | bytes | Secret) -> None:
    done = await run(["cat"], stdin=stdin, output_limit_bytes=2_000_000)
    text = stdin.reveal() if isinstance(stdin, Secret) else stdin
    assert done.stdout.raw == (text if isinstance(text, bytes) else text.encode())


async def test_a_program_that_does_not_read_is_no_error() -> None:
    assert (await run(["true"], stdin=b"x" * 1_000_000)).returncode == 0


async def test_a_program_out_of_time_is_ended_and_its_words_are_kept() -> None:
    script = 'trap "echo tidied; exit 0" TERM; echo begun; while :; do sleep 0.01; done'
    with pytest.raises(CommandTimeoutError) as caught:
        await run(["sh", "-c", script], timeout_s=0.5, grace_s=LONG_S)
    assert str(caught.value).startswith("sh: timed out after 0.5 s, stdout: ")
    assert caught.value.completed.stdout.text in ("begun\ntidied\n", "")


async def test_endless_output_is_counted_not_kept() -> None:
    with pytest.raises(CommandTimeoutError) as caught:
        await run(["yes"], timeout_s=0.3, output_limit_bytes=1000)
    output = caught.value.completed.stdout
    assert output.omitted > 100_000
    assert (len(output.head), len(output.tail)) == (1000, 1000)


async def test_the_loop_turns_while_a_program_floods_it() -> None:
    turns = 0
    async with anyio.create_task_group() as tasks:

        async def count() -> None:
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        tasks.start_soon(count)
        await run(["head", "-c", "20000000", "/dev/zero"])
        tasks.cancel_scope.cancel()
    assert turns > 50


@pytest.mark.parametrize("stream", ["", " >&2"])
async def test_a_daemonised_grandchild_does_not_hold_the_result(stream: str) -> None:
    script = f"setsid sleep 600{stream} & echo $!"
    done = await run(["sh", "-c", script], timeout_s=LONG_S)
    pid = int(done.stdout.text)
    # It was left alone: the program ended well. It is ours to end.
    os.kill(pid, 9)


async def test_everything_written_before_the_end_is_read_though_a_grandchild_holds_the_pipe() -> (
    None
):
    script = "head -c 60000 /dev/zero; sleep 600 & echo $! >&2"
    done = await run(["sh", "-c", script], output_limit_bytes=100_000)
    os.kill(int(done.stderr.text), 9)
    assert done.stdout.size_bytes == 60_000


async def test_lines_are_told_as_they_come_with_secrets_hidden() -> None:
    told: list[Line] = []
    await run(
        ["sh", "-c", "echo one; echo my hunter2 >&2; printf last"],
        on_output=told.append,
        secrets=["hunter2"],
    )
    assert [line.text for line in told if line.stream == "stdout"] == ["one", "last"]
    assert [line.text for line in told if line.stream == "stderr"] == ["my ***"]


async def test_a_callback_that_fails_ends_the_program_and_is_raised() -> None:
    def fail(line: Line) -> None:
        raise LookupError(line.text)

    with pytest.raises(LookupError, match="hello"):
        await run(["sh", "-c", "echo hello; sleep 600"], on_output=fail, timeout_s=LONG_S)


async def test_secrets_are_in_no_error() -> None:
    with pytest.raises(CommandFailedError) as caught:
        await run(
            [
                "sh",
                "-c",
                'echo "$1" "$2"; cat; exit 1',
                "sh",
                Secret("hunter2"),
                "--key=opensesame",
            ],
            stdin=Secret("swordfish"),
            secrets=["opensesame"],
        )
    assert str(caught.value) == "exit code: 1, stdout: *** --key=***\n***, stderr: "
    assert caught.value.completed.argv[-2:] == ("***", "--key=***")


async def test_hundreds_of_runs_leave_no_descriptor_and_no_zombie(containment: Containment) -> None:
    with Surroundings(containment=containment).entered():
        await run(["true"])
        before = open_descriptors()
        for _ in range(20):
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(run, ["true"])
            with pytest.raises(CommandNotFoundError):
                await run(["no-such-program"])
            with pytest.raises(CommandNotStartedError):
                await run(["true"], cwd="/no/such/place")
        assert open_descriptors() == before
    assert own_zombies() == []
    if isinstance(containment, CgroupContainment):
        assert [p for p in containment.directory.iterdir() if p.is_dir()] == []


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def own_zombies() -> list[str]:
    """Return children of this process that nobody has reaped."""
    zombies = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        state, parent = text.rpartition(")")[2].split()[:2]
        if state == "Z" and int(parent) == os.getpid():
            zombies.append(text)
    return zombies


async def test_without_process_descriptors_the_end_is_noticed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", unknown)
    assert (await run(["sh", "-c", "sleep 0.05; echo end"])).stdout.text == "end\n"


def test_the_containment_is_reported_by_name(containment: Containment) -> None:
    assert containment.name in ("session", "cgroup")
    assert SessionContainment().name == "session"
