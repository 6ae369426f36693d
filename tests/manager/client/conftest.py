"""The program ``emf`` in one process with a manager in memory, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from click.testing import CliRunner, Result

from emf_agent.testing import VirtualTimeLoop
from emf_manager.api.application import build_api
from emf_manager.client.cli import emf
from emf_manager.client.program import Setup
from tests.manager.api.fake_plans import FakePlans
from tests.manager.api.fakes import FakeAccounts, FakeAlerts, FakeEngine, FakeHistory, a_service
from tests.manager.api.in_memory import InMemory


class Desk:
    """A manager in memory and an operator at the keyboard."""

    def __init__(self, home: Path) -> None:
        self.engine = FakeEngine()
        self.accounts = FakeAccounts()
        self.alerts = FakeAlerts()
        self.history = FakeHistory()
        self.plans = FakePlans()
        self.app = build_api(
            a_service(self.engine, self.accounts, self.alerts, self.history, self.plans)
        )
        self.environ = {
            "HOME": str(home),
            "EMF_MANAGER_URL": "https://manager.example.com:7443",
            "EMF_TOKEN": "operator-token",
        }
        self.config = home / ".config" / "emf" / "config.toml"
        self.transport: Callable[[], httpx.AsyncBaseTransport] = lambda: InMemory(self.app)

    def emf(self, *words: str, stdin: str | None = None) -> Result:
        """Run the program as if these words were typed."""
        setup = Setup(environ=self.environ, transport=lambda: self.transport(), run=in_virtual_time)
        return CliRunner().invoke(emf, words, obj=setup, input=stdin, catch_exceptions=False)

    def json(self, *words: str) -> Any:
        """Run it, and read the document on stdout."""
        result = self.emf(*words)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def in_virtual_time(body: Callable[[], Awaitable[Any]]) -> Any:
    return anyio.run(body, backend_options={"loop_factory": VirtualTimeLoop})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)
