"""A node of shell scripts for the edges: ``lctl`` and ``lnetctl`` that print what a test gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emf_agent.command import Surroundings
from tests.lustre.stats.samples import RECORDED

SCRIPT = """#!/bin/sh
# Prints the file named after the words of the call, as far as there is one.
here={here}
echo "$0 $*" >> "$here/calls"
case "$(basename "$0") $*" in
  "lctl get_param "*job_stats*) name=job_stats ;;
  "lctl get_param "*) name=get_param ;;
  "lctl set_param "*) name=set_param ;;
  "lnetctl net show"*) name=net_show ;;
  "lnetctl stats show"*) name=stats_show ;;
  "lnetctl global show"*) name=global_show ;;
  "lnetctl peer show"*) name=peer_show ;;
  *) name=nothing ;;
esac
[ -f "$here/$name" ] && /bin/cat "$here/$name"
[ -f "$here/$name.hang" ] && exec /bin/sleep 3600
[ -f "$here/$name.code" ] && exit "$(/bin/cat "$here/$name.code")"
exit 0
"""


class ShellNode:
    """What the scripts print, by the name of the call; ``calls`` is what was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.proc = folder / "proc"
        self.programs.mkdir()
        (self.proc / "self").mkdir(parents=True)
        self.install("lctl", "lnetctl")
        self.prints("get_param", (RECORDED / "oss.txt").read_bytes())
        self.prints("job_stats", (RECORDED / "jobs.txt").read_bytes())
        self.prints("net_show", (RECORDED / "net_show.yaml").read_bytes())
        self.prints("stats_show", (RECORDED / "stats_show.yaml").read_bytes())
        self.says("meminfo", "MemTotal: 8008316 kB\nMemFree: 12 kB\n")
        self.says("stat", "cpu  10 2 30 400 5 6 7\ncpu0 1\n")
        self.mounts("")

    def install(self, *names: str) -> None:
        for name in names:
            program = self.programs / name
            program.write_text(SCRIPT.format(here=self.folder))
            program.chmod(0o755)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.programs / name).unlink()

    def prints(self, name: str, output: bytes) -> None:
        (self.folder / name).write_bytes(output)

    def exits(self, name: str, code: int) -> None:
        (self.folder / f"{name}.code").write_text(str(code))

    def hangs(self, name: str) -> None:
        (self.folder / f"{name}.hang").touch()

    def says(self, name: str, text: str) -> None:
        (self.proc / name).write_text(text)

    def mounts(self, text: str) -> None:
        (self.proc / "self" / "mounts").write_text(text)

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ShellNode]:
    shell = ShellNode(tmp_path)
    with Surroundings(search_path=(str(shell.programs),)).entered():
        yield shell


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Run in real time: programs, threads and sockets take part in these rooms."""
    return request.param
