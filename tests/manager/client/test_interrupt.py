"""Ctrl-C at a real terminal, over a real socket: asks, obeys, and leaves with 130."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import uvicorn

from emf_manager.api.application import build_api
from tests.manager.api.fakes import FakeEngine, a_service

pty = pytest.importorskip("pty")

WITHIN_S = 60.0
"""Bound of every real wait; an event is expected long before."""


@contextmanager
def served(engine: FakeEngine) -> Iterator[str]:
    """Serve a manager on loopback, in a thread."""
    app = build_api(a_service(engine))
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + WITHIN_S
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(WITHIN_S)


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, words: list[str], environ: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            words, env=environ, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.shown = ""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + WITHIN_S
        while text not in self.shown:
            ready, _, _ = select.select([self.master], [], [], deadline - time.monotonic())
            assert ready, f"{text!r} did not come: {self.shown!r}"
            self.shown += self._read()

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def press_until_it_ends(self) -> None:
        """Press Ctrl-C as people do: readline may lose one that comes just as it starts."""
        deadline = time.monotonic() + WITHIN_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.5)

    def end(self) -> int:
        code = self.process.wait(WITHIN_S)
        while select.select([self.master], [], [], 0)[0] and (more := self._read()):
            self.shown += more
        return code

    def _read(self) -> str:
        try:
            return os.read(self.master, 65536).decode(errors="replace")
        except OSError:
            return ""

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(WITHIN_S)
        os.close(self.master)


@pytest.mark.slow  # starts a server and the program as a process, about a second
@pytest.mark.parametrize(
    ("answer", "cancel", "told"),
    [("y\n", "asked", "asked to stop"), ("n\n", None, "the job goes on"), (None, None, "goes on")],
    ids=["yes", "no", "again"],
)
def test_an_interrupt_asks_whether_to_cancel(
    tmp_path: Path, answer: str | None, cancel: str | None, told: str
) -> None:
    engine = FakeEngine()
    watched = threading.Event()
    engine.on_subscribe = watched.set
    words = [sys.executable, "-m", "emf_manager.client", "run", "oss01", "start_unit", "x"]
    with served(engine) as url:
        environ = {
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "TERM": "xterm",
            "EMF_MANAGER_URL": url,
            "EMF_TOKEN": "operator-token",
        }
        terminal = Terminal(words, environ)
        try:
            assert watched.wait(WITHIN_S)
            terminal.process.send_signal(signal.SIGINT)
            terminal.wait_for("Cancel the job on all nodes?")
            if answer is None:
                terminal.press_until_it_ends()
            else:
                terminal.type(answer)
            code = terminal.end()
        finally:
            terminal.close()

    # The last of several may meet the interpreter on its way out; a shell tells both as 130.
    assert code == 130 or (answer is None and code == -signal.SIGINT)
    assert told in terminal.shown
    assert engine.kept["job-0001"].targets[0].cancel == cancel
