"""Fake programs: small scripts that answer as told and remember how they were called."""

from __future__ import annotations

import shlex
from pathlib import Path

__all__ = ["Programs"]


class Programs:
    """A folder of programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, *, stdout: str = "", stderr: str = "", code: int = 0) -> None:
        """Let a program print something and end with a status."""
        said = self.folder / f".{name}.out"
        said.write_text(stdout)
        self.script(
            name,
            f"cat {shlex.quote(str(said))}\nprintf %s {shlex.quote(stderr)} >&2\nexit {code}\n",
        )

    def script(self, name: str, text: str) -> None:
        """Let a program be a shell script."""
        file = self.folder / name
        log = shlex.quote(str(self.folder / f".{name}.calls"))
        file.write_text(
            f'#!/bin/sh\nfor word in "$@"; do printf \'%s\\037\' "$word" >>{log}; done\n'
            f"printf '\\036' >>{log}\n{text}"
        )
        file.chmod(0o755)

    def calls(self, name: str) -> list[list[str]]:
        """Return the arguments of each call of a program."""
        log = self.folder / f".{name}.calls"
        if not log.exists():
            return []
        return [call.split("\x1f")[:-1] for call in log.read_text().split("\x1e")[:-1]]
