"""How this very program is started once more: the same interpreter, the same gate."""

from __future__ import annotations

import os
import sys

__all__ = ["own_environment", "own_program"]


def own_program() -> tuple[str, ...]:
    """Return the command line of this process without its own arguments.

    ``python -I -S boot.pyz`` stays what it is, so that what is started stands behind the same gate.
    """
    own = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    return (os.path.abspath(sys.executable), *own[1:])  # noqa: PTH100 - a link to Python stays one


def own_environment() -> dict[str, str]:
    """Return the settings that were made in the environment."""
    return {name: value for name, value in os.environ.items() if name.startswith("EMF_AGENT_")}
