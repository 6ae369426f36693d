"""The pytest fixtures ``simulated_nodes``, which makes nodes, and ``simulated_node``, which is one.

Use them with ``pytest_plugins = ["emf_plugins_lustre.testing.fixtures"]``. A test chooses another
role with ``@pytest.mark.parametrize("simulated_role", ["mds"])``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emf_agent.command import PROGRAM_PATH_VARIABLE
from emf_plugins_lustre.testing.node import SimulatedNode
from emf_plugins_lustre.testing.scenario import Scenario

__all__ = ["simulated_node", "simulated_nodes", "simulated_role"]


@pytest.fixture
def simulated_nodes(tmp_path: Path) -> Callable[..., SimulatedNode]:
    """Return what makes nodes by role; all of one test are nodes of one cluster."""
    made: list[SimulatedNode] = []

    def make(role: str) -> SimulatedNode:
        folder = tmp_path / f"{role}{len(made)}"
        cluster = made[0] if made else None
        made.append(SimulatedNode.create(folder, Scenario.of_role(role), cluster=cluster))
        return made[-1]

    return make


@pytest.fixture
def simulated_role() -> str:
    """Return the role of ``simulated_node``; tests override it."""
    return "combined"


@pytest.fixture
def simulated_node(
    simulated_role: str,
    simulated_nodes: Callable[..., SimulatedNode],
    monkeypatch: pytest.MonkeyPatch,
) -> SimulatedNode:
    """Return a node whose programs, and no others, this test's commands find."""
    node = simulated_nodes(simulated_role)
    monkeypatch.setenv(PROGRAM_PATH_VARIABLE, str(node.programs))
    return node
