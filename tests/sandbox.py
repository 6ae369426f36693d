"""A throw-away machine with a real systemd, for the tests that want real daemons (``sandbox``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["ROOT", "Machine", "missing", "tool"]

ROOT = Path(__file__).parents[1]
BASE = "ha"


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


class Machine:
    """A sandbox that lives as long as this object; ``cluster``: with pacemaker on its one node."""

    def __init__(self, name: str, *, cluster: bool = False) -> None:
        self.name = name
        places = dict.fromkeys(map(str, (ROOT, sys.prefix, sys.base_prefix)))
        binds = [word for place in places for word in ("--bind", place)]
        self._process = subprocess.Popen(
            [
                *(tool(), "hold", name, "--base", BASE, "--timeout", "120"),
                *(["--ha"] if cluster else []),
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
