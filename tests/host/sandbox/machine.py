"""A throw-away machine with a real systemd, and the process in it that does what tests say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

__all__ = ["Inside", "Machine", "missing"]

ROOT = Path(__file__).parents[3]
BASE = "ha"
LONG_S = 600


def tool() -> Path:
    """Return the program that makes such machines."""
    named = os.environ.get("EMF_SYSTEMD_SANDBOX")
    return Path(named).resolve() if named else ROOT.parent / "shared/tools/systemd-sandbox"


def missing() -> str | None:
    """Return why none can be made here, or None."""
    if not tool().is_file():
        return "no systemd sandbox tool here (EMF_SYSTEMD_SANDBOX names it)"
    check = subprocess.run(
        [tool(), "check", "--base", BASE], check=False, capture_output=True, text=True
    )
    return check.stderr.strip() or "the sandbox cannot run here" if check.returncode else None


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


class Machine:
    """A sandbox that lives as long as this object."""

    def __init__(self, name: str) -> None:
        self.name = name
        places = dict.fromkeys(map(str, (ROOT, sys.prefix, sys.base_prefix)))
        binds = [word for place in places for word in ("--bind", place)]
        self._process = subprocess.Popen(
            [
                *(tool(), "hold", name, "--base", BASE, "--ha", "--timeout", "120"),
                *("--dev", "loop-control", *binds),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the sandbox did not boot"
        assert json.loads(line)["state"] == "running"

    def run(self, *argv: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a program inside and return what it prints."""
        done = subprocess.run(
            [tool(), "exec", self.name, "--", *argv],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file inside."""
        self.run("sh", "-c", 'mkdir -p "${1%/*}" && cat > "$1"', "sh", path, stdin=text)

    def close(self) -> None:
        """Shut it down."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
