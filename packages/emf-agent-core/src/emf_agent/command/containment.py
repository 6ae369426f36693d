"""What holds a command's process tree together, so that all of it can be found and ended.

Chosen once and reported. ``cgroup``: a cgroup of its own below one that is delegated to the agent;
nothing escapes it but what another daemon moves. ``session``: no cgroup can be had (cgroup v1, no
delegation); the tree is found in /proc by a tag in its environment, its session and its ancestry,
which also finds what made a session of its own or daemonised. Facts: cgroup-v2 of the kernel
documentation, sections "cgroup.kill" and "Delegation"; proc_pid_stat(5), proc_pid_environ(5).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from emf_agent.command.failures import StuckProcess

__all__ = [
    "COMMAND_TAG",
    "CgroupContainment",
    "Containment",
    "Enclosure",
    "SessionContainment",
    "choose_containment",
    "describe_process",
]

COMMAND_TAG = "EMF_COMMAND_ID"

# The one shell in the project: a constant text, data only as positional arguments. It joins the
# cgroup before the program exists, which no parent can do from outside without a race.
JOIN_SCRIPT = 'echo 0 >"$0/cgroup.procs" && unset PWD OLDPWD && exec "$@"'

KERNEL_THREAD = 0x00200000  # PF_KTHREAD, include/linux/sched.h
ROUNDS = 100


class Enclosure(Protocol):
    """Holds one command's processes. All but ``wrap`` may block for some milliseconds."""

    def wrap(self, argv: Sequence[str]) -> Sequence[str]:
        """Return what to start so that the program starts inside."""

    def opened(self, pid: int) -> None:
        """Learn the process id of the direct child."""

    def members(self) -> Sequence[int]:
        """Return the processes that live; zombies do not."""

    def terminate(self) -> None:
        """Ask all of them to end."""

    def kill(self) -> None:
        """End all of them, and those they start meanwhile."""

    def close(self) -> None:
        """Give back what the enclosure took."""


class Containment(Protocol):
    """A way to hold process trees."""

    @property
    def name(self) -> str:
        """Return the word that reports use."""

    def enclose(self, command_id: str) -> Enclosure:
        """Return a new enclosure; ``command_id`` is also in the child's environment."""


def choose_containment(delegated: Path | None = None) -> Containment:
    """Return the strongest containment that works here.

    ``delegated`` names a cgroup v2 directory that is ours; without it, the agent's own cgroup is
    taken if systemd has marked it as delegated (``Delegate=yes``). It is tried, not guessed.
    """
    directory = delegated or own_delegated_cgroup()
    if directory is None:
        return SessionContainment()
    trial = directory / f"emf-trial-{os.getpid()}"
    try:
        trial.mkdir()
        try:
            usable = (trial / "cgroup.procs").exists() and os.access(
                trial / "cgroup.procs", os.W_OK
            )
        finally:
            trial.rmdir()
    except OSError:
        return SessionContainment()
    return CgroupContainment(directory) if usable else SessionContainment()


def own_delegated_cgroup() -> Path | None:
    """Return the cgroup v2 of this process if systemd says that it is ours to divide."""
    try:
        entries = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    own = next((entry[3:] for entry in entries if entry.startswith("0::")), None)
    roots = [mount.split()[4] for mount in mounts if " - cgroup2 " in mount]
    if own is None or not roots:
        return None
    directory = Path(roots[0] + own)
    for attribute in ("trusted.delegate", "user.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(directory, attribute) == b"1":
                return directory
    return None


@dataclass(frozen=True)
class CgroupContainment:
    """A cgroup for each command, below a directory that is delegated to the agent."""

    directory: Path
    _lingering: set[Path] = field(default_factory=set, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Return ``cgroup``."""
        return "cgroup"

    def enclose(self, command_id: str) -> CgroupEnclosure:
        """Make the command's cgroup; raises OSError where that fails."""
        path = self.directory / f"emf-command-{command_id}"
        path.mkdir()
        return CgroupEnclosure(path, self._lingering)


class CgroupEnclosure:
    """One cgroup. A program that ended well may leave a daemon in it; it is removed later."""

    def __init__(self, path: Path, lingering: set[Path]) -> None:
        self._path = path
        self._lingering = lingering

    def wrap(self, argv: Sequence[str]) -> Sequence[str]:
        """Return the join script with the program as its arguments."""
        return ["/bin/sh", "-c", JOIN_SCRIPT, str(self._path), *argv]

    def opened(self, pid: int) -> None:
        """Need nothing: the child joins by itself."""

    def members(self) -> list[int]:
        """Return the processes of the cgroup and those below it."""
        return [pid for pid in self._pids() if process_lives(pid)]

    def _pids(self) -> Iterator[int]:
        for directory, _, _ in os.walk(self._path):
            with contextlib.suppress(OSError):
                text = Path(directory, "cgroup.procs").read_text(encoding="ascii")
                yield from map(int, text.split())

    def terminate(self) -> None:
        """Send SIGTERM, and wake what is stopped so that it can obey."""
        for pid in self.members():
            send(pid, signal.SIGTERM)
            send(pid, signal.SIGCONT)

    def kill(self) -> None:
        """Use cgroup.kill (Linux 5.14), or freeze, kill and thaw."""
        with contextlib.suppress(FileNotFoundError):
            self._write("cgroup.kill", "1")
            return
        with contextlib.suppress(OSError):
            self._write("cgroup.freeze", "1")
        try:
            for pid in self.members():
                send(pid, signal.SIGKILL)
        finally:
            with contextlib.suppress(OSError):
                self._write("cgroup.freeze", "0")

    def _write(self, name: str, text: str) -> None:
        # Opened without O_CREAT: an older kernel has no such file, and that is the answer.
        descriptor = os.open(self._path / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Remove the cgroup, and those that former commands had to leave behind."""
        self._lingering.add(self._path)
        for path in tuple(self._lingering):
            try:
                remove_cgroup(path)
            except FileNotFoundError:
                self._lingering.discard(path)
            except OSError:
                continue
            else:
                self._lingering.discard(path)


def remove_cgroup(path: Path) -> None:
    """Remove a cgroup and those below it; raises OSError while a process is in one."""
    for directory, _, _ in os.walk(path, topdown=False):
        Path(directory).rmdir()


@dataclass(frozen=True)
class SessionContainment:
    """A session and a tag for each command; its tree is looked up in /proc."""

    @property
    def name(self) -> str:
        """Return ``session``."""
        return "session"

    def enclose(self, command_id: str) -> SessionEnclosure:
        """Return an enclosure that looks for this tag."""
        return SessionEnclosure(command_id)


@dataclass(frozen=True)
class ProcessStat:
    """The fields of /proc/PID/stat that the walk needs."""

    pid: int
    state: str
    parent: int
    session: int
    flags: int
    started: int


class SessionEnclosure:
    """Finds a tree by tag, session and ancestry; a process must lose all three to escape."""

    def __init__(self, command_id: str) -> None:
        self._tag = f"{COMMAND_TAG}={command_id}".encode()
        self._child = 0
        self._known: dict[int, int] = {}
        """Every process ever seen in the tree, with its start time: ids are used again."""

    def wrap(self, argv: Sequence[str]) -> Sequence[str]:
        """Return the program itself."""
        return argv

    def opened(self, pid: int) -> None:
        """Remember the leader of the session."""
        self._child = pid

    def members(self) -> list[int]:
        """Walk /proc once."""
        found = list(processes())
        inside = {process.pid: process for process in found if self._belongs(process)}
        children: dict[int, list[ProcessStat]] = {}
        for process in found:
            children.setdefault(process.parent, []).append(process)
        unwalked = list(inside)
        while unwalked:
            for child in children.get(unwalked.pop(), ()):
                if child.pid not in inside:
                    inside[child.pid] = child
                    unwalked.append(child.pid)
        self._known.update((pid, process.started) for pid, process in inside.items())
        return [pid for pid, process in inside.items() if process.state not in "ZX"]

    def _belongs(self, process: ProcessStat) -> bool:
        if process.pid == self._child or process.session == self._child:
            return True
        if self._known.get(process.pid) == process.started:
            return True
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:
            return False
        return self._tag in environment.split(b"\0")

    def terminate(self) -> None:
        """Send SIGTERM, and wake what is stopped so that it can obey."""
        for pid in self.members():
            send(pid, signal.SIGTERM)
            send(pid, signal.SIGCONT)

    def kill(self) -> None:
        """Stop all until nobody is left who could start another, then kill."""
        stopped: set[int] = set()
        for _ in range(ROUNDS):
            fresh = set(self.members()) - stopped
            if not fresh:
                break
            for pid in fresh:
                send(pid, signal.SIGSTOP)
            stopped |= fresh
        for pid in stopped:
            send(pid, signal.SIGKILL)

    def close(self) -> None:
        """Have nothing to give back."""


def processes() -> Iterator[ProcessStat]:
    """Return every process of the system but the kernel's own threads."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - thousands of entries, names only
        if name.isdigit() and (process := process_stat(int(name))) is not None:
            yield process


def process_stat(pid: int) -> ProcessStat | None:
    """Return what /proc says of a process; None for one that is gone or is the kernel's."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name stands in parentheses and may itself contain them.
    fields = text[text.rindex(b")") + 2 :].split()
    flags = int(fields[6])
    if flags & KERNEL_THREAD:
        return None
    return ProcessStat(
        pid=pid,
        state=fields[0].decode("ascii"),
        parent=int(fields[1]),
        session=int(fields[3]),
        flags=flags,
        started=int(fields[19]),
    )


def process_lives(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    process = process_stat(pid)
    return process is not None and process.state not in "ZX"


def describe_process(pid: int) -> StuckProcess:
    """Return what a person needs to find out why a process does not end."""
    process = process_stat(pid)
    return StuckProcess(
        pid=pid,
        name=read_word(f"/proc/{pid}/comm"),
        state=process.state if process else "?",
        wchan=read_word(f"/proc/{pid}/wchan"),
    )


def read_word(path: str) -> str:
    """Return a one-word file of /proc, or ``?``; 0 is what wchan says without the right to know."""
    try:
        word = Path(path).read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        return "?"
    return "?" if word in ("", "0") else word


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have gone meanwhile."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
