"""A simulated Lustre node for tests and demos: its programs on a path, its state in a folder.

    node = SimulatedNode.create(folder, Scenario.of_role("oss"))
    with node.entered():
        await run(["lctl", "get_param", "health_check"])

The agent's own door to programs finds them: by the surroundings entered here, or, for an agent
that is started as a process, by the variables of :meth:`SimulatedNode.environment`.
"""

from __future__ import annotations

import ast
import shlex
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emf_agent.command import PROGRAM_PATH_VARIABLE, Surroundings
from emf_plugins_lustre.testing import program
from emf_plugins_lustre.testing.scenario import Scenario, SimulatedFile
from emf_plugins_lustre.testing.simulation import Simulation, dump, locked

__all__ = ["SimulatedNode"]

AGE_S = 600.0
"""How long the cluster of a new node has been counting."""


class SimulatedNode:
    """One node; what its programs change is seen here, and the other way round."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def create(
        cls, folder: Path, scenario: Scenario, *, cluster: SimulatedNode | None = None
    ) -> SimulatedNode:
        """Make a node in a folder; beside another one, it shares that one's cluster."""
        folder = folder.absolute()
        programs = folder / "bin"
        programs.mkdir(parents=True)
        state = scenario.node()
        if cluster is None:
            born = time.time() - AGE_S
            (folder / "cluster").write_bytes(dump(scenario.cluster(born)))
            state["cluster"] = str(folder)
        else:
            state["cluster"] = str(cluster.cluster_folder)
        (folder / "node").write_bytes(dump(state))
        for name in program.PROGRAMS:
            words = [sys.executable, "-I", "-S", program.__file__, str(folder), name]
            stub = programs / name
            stub.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', "utf-8")
            stub.chmod(0o755)
        return cls(folder)

    @property
    def programs(self) -> Path:
        """Return the folder of the programs."""
        return self._folder / "bin"

    @property
    def cluster_folder(self) -> Path:
        """Return the folder that holds what the nodes of a cluster share."""
        with locked(str(self._folder)) as simulation:
            return Path(simulation.node["cluster"])

    def environment(self) -> Mapping[str, str]:
        """Return the variables with which an agent finds this node's programs."""
        return {PROGRAM_PATH_VARIABLE: str(self.programs)}

    @contextmanager
    def entered(self) -> Generator[SimulatedNode, None, None]:
        """Let every command within the ``with`` find this node's programs, and no others."""
        with Surroundings(search_path=(str(self.programs),)).entered():
            yield self

    @contextmanager
    def state(self) -> Generator[Simulation, None, None]:
        """Look at the whole state, or change it; programs wait until the ``with`` is left."""
        with locked(str(self._folder)) as simulation:
            yield simulation

    def advance(self, seconds: float) -> None:
        """Set the cluster's clock ahead: counters move as if that time had passed."""
        with self.state() as simulation:
            simulation.cluster["ahead_s"] += seconds

    def fail_target(self, name: str) -> None:
        """Let a target fail: it is reported unhealthy, its counters stand, nobody reaches it."""
        with self.state() as simulation:
            simulation.cluster["failed_targets"].setdefault(name, simulation.now)

    def heal_target(self, name: str) -> None:
        """Let a failed target work again."""
        with self.state() as simulation:
            simulation.cluster["failed_targets"].pop(name, None)

    def fail_program(
        self,
        name: str,
        *words: str,
        status: int = 5,
        stderr: str = "Input/output error",
        times: int | None = None,
        pause_s: float = 0.0,
    ) -> None:
        """Fail calls of a program that have all these words, or let them take long instead.

        ``times`` bounds how often; None is until :meth:`heal_programs`.
        """
        with self.state() as simulation:
            simulation.node["failures"].append(
                {
                    "program": name,
                    "words": words,
                    "status": status,
                    "stderr": stderr,
                    "times": times,
                    "pause_s": pause_s,
                }
            )

    def heal_programs(self) -> None:
        """Let all programs work again."""
        with self.state() as simulation:
            simulation.node["failures"].clear()

    def remove_program(self, name: str) -> None:
        """Take a program off the node."""
        (self.programs / name).unlink()

    def add_file(self, fid: str, file: SimulatedFile, *, file_system: str = "fs1") -> None:
        """Give a file system a file."""
        with self.state() as simulation:
            files: dict[str, Any] = simulation.cluster["files"].setdefault(file_system, {})
            files[fid] = file.model_dump(mode="json")

    def calls(self, name: str | None = None) -> list[list[str]]:
        """Return the arguments of each call so far, of one program or, with its name, of all."""
        log = self._folder / "calls"
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
        made: list[list[str]] = [ast.literal_eval(line) for line in lines]
        return made if name is None else [call[1:] for call in made if call[0] == name]
