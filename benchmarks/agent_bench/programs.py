"""The real programs in throw-away folders: a manager, an enrolled agent, and who asks them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

__all__ = ["Agent", "Manager", "Operator", "a_manager", "an_operator", "enrolled_agent"]

BIN = Path(sys.executable).parent
WITHIN_S = 60.0


def ask(program: str, *arguments: str, stdin: str = "", plugins: Path | None = None) -> str:
    """Run a program that must succeed; return what it printed."""
    environment = os.environ if plugins is None else with_plugins(plugins)
    done = subprocess.run(
        [BIN / program, *arguments],
        input=stdin,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{program} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def with_plugins(folder: Path) -> dict[str, str]:
    """Return our environment, in which Python finds the plugins of a folder too."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def end(process: subprocess.Popen[str]) -> None:
    """End a service as a service manager would."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Manager:
    """``emf-manager serve``, listening."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], url: str) -> None:
        self.data = folder / "manager"
        self.pid = process.pid
        self.url = url

    def admin(self, *arguments: str) -> Any:
        """Run an admin command on its data directory."""
        return json.loads(ask("emf-manager", *arguments, "--data-dir", str(self.data), "--json"))


@contextmanager
def a_manager(folder: Path) -> Iterator[Manager]:
    """Serve until the block ends."""
    command = ["serve", "--data-dir", str(folder / "manager"), "--listen", "127.0.0.1:0"]
    with (folder / "manager.log").open("w") as log:
        process = subprocess.Popen(
            [BIN / "emf-manager", *command, "--log-level", "warning"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout:
        try:
            told = process.stdout.readline().split()
            if not told:
                raise SystemExit(f"no manager: {(folder / 'manager.log').read_text()[-2000:]}")
            yield Manager(folder, process, told[-1])
        finally:
            end(process)


class Agent:
    """``emf-agent run``, which can be started more than once."""

    def __init__(self, folder: Path, fqdn: str, plugins: Path) -> None:
        self.fqdn = fqdn
        self.authority = folder / "node" / "etc" / "tls" / "ca.crt"
        self._folder = folder
        self._plugins = plugins
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> float:
        """Start it; return the seconds until it says that it is ready, as systemd is told."""
        door = self._folder / "notify"
        door.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, self._log() as log:
            told.bind(str(door))
            told.settimeout(WITHIN_S)
            began = time.perf_counter()
            self._process = subprocess.Popen(
                [BIN / "emf-agent", "run", "--state-dir", str(self._folder / "node")],
                stdout=log,
                stderr=log,
                text=True,
                env={**with_plugins(self._plugins), "NOTIFY_SOCKET": str(door)},
                start_new_session=True,
            )
            try:
                while b"READY=1" not in told.recv(4096):
                    pass
            except TimeoutError:
                raise SystemExit(f"no agent: {self.log.read_text()[-2000:]}") from None
            return time.perf_counter() - began

    def stop(self) -> float:
        """End it; return the seconds it took."""
        assert self._process is not None
        began = time.perf_counter()
        end(self._process)
        return time.perf_counter() - began

    @property
    def log(self) -> Path:
        """What it said."""
        return self._folder / "agent.log"

    def _log(self) -> Any:
        return self.log.open("a")


def enrolled_agent(folder: Path, manager: Manager, plugins: Path, *, everything: bool) -> Agent:
    """Enrol a node with the host bundle and the plugins of a folder, or all that is installed."""
    node = folder / "node"
    where = ("--state-dir", str(node))
    ask("emf-agent", "init", "--role", "all", *where, plugins=plugins)
    if not everything:
        allowlist = node / "etc" / "allowlist.toml"
        opening, *blocks = allowlist.read_text().split("[[plugin]]")
        wanted = ('"emf-plugins-host"', '"emf-plugin-bench"')
        kept = [block for block in blocks if any(name in block for name in wanted)]
        allowlist.write_text("[[plugin]]".join([opening, *kept]))
    token = str(manager.admin("token", "create")["token"])
    fqdn = "bench.example.com"
    ask(
        *("emf-agent", "enroll", "--manager", manager.url, "--token-file", "-", "--fqdn", fqdn),
        *where,
        stdin=token,
        plugins=plugins,
    )
    return Agent(folder, fqdn, plugins)


class Operator:
    """Who asks over the API: jobs are created by POST, and their end is heard from the stream."""

    def __init__(self, client: httpx.AsyncClient, fqdn: str) -> None:
        self._client = client
        self._fqdn = fqdn
        self._done: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Future[float]] = {}
        self._seen: list[tuple[str, float]] = []
        self._news = asyncio.Event()

    async def get(self, path: str) -> Any:
        """Return a resource; None where there is none."""
        answer = await self._client.get(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return answer.raise_for_status().json()

    async def post(self, path: str, body: Any) -> Any:
        """Create something."""
        return (await self._client.post(path, json=body)).raise_for_status().json()

    async def run(self, action: str) -> float:
        """Run an action on the node; return the seconds from asking until its end was heard."""
        began = time.perf_counter()
        job = await self.post("jobs", {"action": action, "nodes": self._fqdn})
        if (heard := self._done.pop(job["id"], None)) is not None:
            return heard - began
        end: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[job["id"]] = end
        return await asyncio.wait_for(end, WITHIN_S) - began

    async def outcome(self, action: str) -> Any:
        """Run an action on the node; return its result."""
        job = await self.post("jobs", {"action": action, "nodes": self._fqdn})
        while True:
            (target,) = (await self.get(f"jobs/{job['id']}"))["targets"]
            if target["state"] == "final":
                return target["result"]
            await asyncio.sleep(0.05)

    async def heard(self, kind: str, since: float) -> float:
        """Return when an event of this kind was heard after a moment (``perf_counter``)."""
        with anyio.fail_after(WITHIN_S):
            while True:
                for seen, at in self._seen:
                    if seen == kind and at >= since:
                        return at
                self._news.clear()
                await self._news.wait()

    async def active(self, least: int) -> dict[str, str]:
        """Return the sessions, once so many are active and no other is on its way."""
        with anyio.fail_after(WITHIN_S):
            while True:
                node = await self.get(f"nodes/{self._fqdn}") or {}
                sessions: dict[str, str] = node.get("sessions", {})
                states = list(sessions.values())
                if len(states) >= least and set(states) == {"active"}:
                    return sessions
                await asyncio.sleep(0.1)

    async def listen(self, ready: asyncio.Event) -> None:
        """Follow the event stream."""
        async with self._client.stream("GET", "events/stream", timeout=None) as answer:
            answer.raise_for_status()
            ready.set()
            kind = ""
            async for line in answer.aiter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    kind = value
                elif field == "data":
                    self._hear(kind, value)

    def _hear(self, kind: str, data: str) -> None:
        now = time.perf_counter()
        if kind == "job.done":
            told = json.loads(data)
            job = told["job"] or told["body"]["job"]
            if job in self._waiting:
                self._waiting.pop(job).set_result(now)
            else:
                self._done[job] = now
        elif kind.startswith("node."):
            self._seen.append((kind, now))
            self._news.set()


@asynccontextmanager
async def an_operator(manager: Manager, agent: Agent) -> AsyncGenerator[Operator]:
    """Ask as someone with every right, and listen, until the block ends."""
    token = manager.admin("user", "create", "bench", "--role", "admin")["token"]
    context = ssl.create_default_context(cafile=str(agent.authority))
    async with httpx.AsyncClient(
        base_url=f"{manager.url}/api/v1",
        headers={"Authorization": f"Bearer {token}"},
        verify=context,
        trust_env=False,
        timeout=WITHIN_S,
        limits=httpx.Limits(max_connections=110, max_keepalive_connections=110),
    ) as client:
        operator, ready = Operator(client, agent.fqdn), asyncio.Event()
        listening = asyncio.create_task(operator.listen(ready))
        try:
            await asyncio.wait_for(ready.wait(), WITHIN_S)
            yield operator
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
