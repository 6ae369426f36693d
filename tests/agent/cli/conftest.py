"""The node on which commands are called."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.agent.cli.node import Node
from tests.agent.distributions import importing


@pytest.fixture
def node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Generator[Node, None, None]:
    """A node, with the plugins of its site on the path."""
    made = Node(tmp_path, capsys)
    with importing(made.site):
        yield made
