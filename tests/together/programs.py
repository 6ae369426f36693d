"""The real programs on this machine: a manager, agents, and what an operator types."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
BIN = Path(sys.executable).parent
WITHIN_S = 60.0
"""A bound on what should take a moment: these machines are shared."""


def run(program: str, *arguments: str, stdin: str = "", **environment: str) -> Any:
    """Run a program to its end."""
    return subprocess.run(
        [BIN / program, *arguments],
        input=stdin,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def ok(program: str, *arguments: str, stdin: str = "", **environment: str) -> str:
    """Run a program that must succeed, and return what it printed."""
    done = run(program, *arguments, stdin=stdin, **environment)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def eventually(look: Callable[[], T | None], what: str) -> T:
    """Look until it is there: the programs are other processes, and have no events for us."""
    until = time.monotonic() + WITHIN_S
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, f"{what} did not happen within {WITHIN_S:g} s"
        time.sleep(0.05)


class Service:
    """A program that runs until it is told to end, or is killed."""

    def __init__(self, program: str, *arguments: str, log: Path, **environment: str) -> None:
        self.command: list[str | Path] = [BIN / program, *arguments]
        self.log = log
        self.environment = {**os.environ, **environment}
        self.process: subprocess.Popen[str] | None = None
        self.stdin: int | None = None
        self.printed: list[str] = []

    def start(self) -> None:
        """Start it."""
        with self.log.open("a") as errors:
            self.process = subprocess.Popen(
                self.command,
                stdin=self.stdin,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=self.environment,
                start_new_session=True,
            )
        self.printed = []
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            self.printed.extend(lines)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def logged(self) -> str:
        """Return the log so far."""
        return self.log.read_text()


class Manager(Service):
    """``emf-manager serve`` with a store of its own, on a port that it keeps over restarts."""

    def __init__(self, folder: Path, *serve: str) -> None:
        self.data = folder / "manager"
        self.serve = serve
        self.listen = "127.0.0.1:0"
        super().__init__("emf-manager", log=folder / "manager.log")
        self.url = ""
        self._token = ""

    def start(self) -> None:
        """Start it and wait until it listens."""
        where = ["--data-dir", str(self.data), "--listen", self.listen]
        self.command[1:] = ["serve", *where, *self.serve]
        super().start()

        def listening() -> str | None:
            assert self.process is not None
            assert self.process.poll() is None, self.logged()
            words = " ".join(self.printed).split()
            return next((word for word in words if word.startswith("https://")), None)

        self.url = eventually(listening, "the manager's start").rstrip("/.,")
        self.listen = self.url.removeprefix("https://")

    def admin(self, *arguments: str) -> Any:
        """Run an admin command on the data directory."""
        return json.loads(ok("emf-manager", *arguments, "--data-dir", str(self.data), "--json"))

    def enrolment_token(self, *arguments: str) -> str:
        """Return a fresh enrolment token."""
        return str(self.admin("token", "create", *arguments)["token"])

    def operator(self, node: Path) -> Operator:
        """Return an operator with every right, who trusts what the node at ``node`` trusts."""
        if not self._token:
            self._token = str(self.admin("user", "create", "ann", "--role", "admin")["token"])
        return Operator(self, self._token, node / "etc" / "tls" / "ca.crt")


class Operator:
    """Someone with an API token."""

    def __init__(self, manager: Manager, token: str, authority: Path) -> None:
        self.manager = manager
        self.token = token
        self.authority = authority

    def get(self, path: str) -> Any:
        """Return a resource; None while it is not there, or the manager is not."""
        context = ssl.create_default_context(cafile=str(self.authority))
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(verify=context, trust_env=False, headers=headers, timeout=30) as client:
            try:
                answer = client.get(f"{self.manager.url}/api/v1{path}")
            except httpx.TransportError:
                return None
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return answer.raise_for_status().json()

    def emf(self, *arguments: str) -> Any:
        """Type a command of ``emf``."""
        return run(
            "emf",
            *arguments,
            EMF_MANAGER_URL=self.manager.url,
            EMF_TOKEN=self.token,
            EMF_CA=str(self.authority),
        )


class Node(Service):
    """``emf-agent`` with a folder of its own."""

    def __init__(self, folder: Path, name: str, plugins: Path | None = None) -> None:
        self.folder = folder / name
        self.name = name
        environment = {"PYTHONPATH": str(plugins)} if plugins else {}
        self.more = environment
        super().__init__(
            "emf-agent",
            *("run", "--state-dir", str(self.folder), "--log-level", "info"),
            log=folder / f"{name}.log",
            **environment,
        )

    def agent(self, *arguments: str, stdin: str = "") -> Any:
        """Run a command of ``emf-agent`` on this node."""
        return run(
            "emf-agent", *arguments, "--state-dir", str(self.folder), stdin=stdin, **self.more
        )

    def enrol(self, manager: Manager, token: str) -> Any:
        """Join a manager under this node's name."""
        assert self.agent("init", "--role", "all", "--force").returncode == 0
        return self.agent(
            *("enroll", "--manager", manager.url, "--token-file", "-", "--fqdn", self.name),
            stdin=token,
        )


@contextmanager
def a_manager(folder: Path, *serve: str) -> Generator[Manager]:
    """Run a manager until the block ends; ``serve`` are further options of its command."""
    manager = Manager(folder, *serve)
    manager.start()
    try:
        yield manager
    finally:
        manager.stop(signal.SIGKILL)


@contextmanager
def a_node(
    folder: Path, name: str, manager: Manager, plugins: Path | None = None
) -> Generator[Node]:
    """Enrol a node and run its agent until the block ends."""
    node = Node(folder, name, plugins)
    enrolled = node.enrol(manager, manager.enrolment_token())
    assert enrolled.returncode == 0, enrolled.stderr
    node.start()
    try:
        yield node
    finally:
        node.stop(signal.SIGKILL)
