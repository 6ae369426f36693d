"""The process inside a throw-away machine that does what tests say."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import IO, Any

from tests.sandbox import ROOT, Machine, tool

__all__ = ["Inside"]

LONG_S = 3500
"""Nearly as long as the machine itself may live: other tests run between those of its files."""


class Inside:
    """The process inside that calls actions and daemons; closed with its machine."""

    def __init__(self, machine: Machine, backend: str) -> None:
        self._process = subprocess.Popen(
            [
                *(tool(), "exec", "--timeout", str(LONG_S)),
                *("--setenv", f"PYTHONPATH={ROOT}", machine.name, "--"),
                *(sys.executable, "-m", "tests.host.sandbox.inside", backend),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready\n", "the process inside did not come up"

    def _line(self) -> str:
        out: IO[str] | None = self._process.stdout
        assert out is not None
        return out.readline()

    def _order(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._line()
        assert line, "the process inside has ended"
        answer = json.loads(line)
        assert "trouble" not in answer, answer["trouble"]
        return answer["answer"]

    def call(
        self,
        action: str,
        args: Any = None,
        *,
        dry_run: bool = False,
        timeout_s: float = 120,
        cancel_after_s: float | None = None,
    ) -> dict[str, Any]:
        """Run an action and return all of its answer."""
        answer: dict[str, Any] = self._order(
            order="action",
            name=action,
            args=args,
            dry_run=dry_run,
            timeout_s=timeout_s,
            cancel_after_s=cancel_after_s,
        )
        return answer

    def ok(self, action: str, args: Any = None, **how: Any) -> Any:
        """Run an action that must succeed and return its value."""
        answer = self.call(action, args, **how)
        assert "Ok" in answer, answer
        return answer["Ok"]

    def err(self, action: str, args: Any = None, **how: Any) -> str:
        """Run an action that must fail and return its words."""
        answer = self.call(action, args, **how)
        assert "Err" in answer, answer
        text: str = answer["Err"]
        return text

    def daemon(
        self,
        name: str,
        wanted: int = 1,
        *,
        during: list[list[str]] | None = None,
        session: str = "default",
        include_loop: bool = False,
    ) -> list[Any]:
        """Run a daemon's session until it gave so many values, and return them."""
        values: list[Any] = self._order(
            order="daemon",
            name=name,
            wanted=wanted,
            during=during or [],
            session=session,
            include_loop=include_loop,
        )
        return values

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
