"""The two flags that every command has: which configuration, and a folder instead of the FHS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["json_option", "node_options", "place_options"]

F = TypeVar("F", bound=Callable[..., Any])


def node_options(command: F) -> F:
    """Add ``--config F`` and ``--state-dir D``, handed over as ``config`` and ``state_dir``."""
    for option in (
        click.option(
            "--state-dir",
            type=click.Path(file_okay=False, path_type=Path),
            envvar="EMF_AGENT_STATE_DIR",
            help="Keep everything below this folder, for use without root.",
        ),
        click.option(
            "--config",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="EMF_AGENT_CONFIG",
            help="Main configuration file (default: /etc/emf-agent/agent.toml).",
        ),
    ):
        command = option(command)
    return command


def json_option(command: F) -> F:
    """Add ``--json``, handed over as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document.")(command)


def place_options(config: Path | None, state_dir: Path | None) -> list[str]:
    """Return the flags with which another process finds the same places."""
    flags = []
    if config is not None:
        flags += ["--config", str(config.absolute())]
    if state_dir is not None:
        flags += ["--state-dir", str(state_dir.absolute())]
    return flags
