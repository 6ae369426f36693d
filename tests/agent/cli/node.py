"""The program ``emf-agent`` on a node that a test has made up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from emf_agent.cli import main
from tests.agent.distributions import Site

__all__ = ["Done", "Node"]


@dataclass(frozen=True)
class Done:
    """How a call of the program ended."""

    returncode: int
    stdout: str
    stderr: str


class Node:
    """A node: a folder for the state, a site with plugins, and the program."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.site = Site(folder / "site")
        self.state = folder / "state"
        self._capsys = capsys

    def __call__(self, *arguments: str, **environment: str) -> Done:
        self._capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main([*arguments, "--state-dir", str(self.state)])
        told = self._capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, told.out, told.err)

    def allow(self, text: str) -> None:
        (self.state / "etc").mkdir(parents=True, exist_ok=True)
        (self.state / "etc/allowlist.toml").write_text(f'schema = 1\nmode = "allowlist"\n{text}')
