"""Defaults of settings that the ancestor took from the environment; its names go on working."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

__all__ = ["from_environment"]


def from_environment(variable: str, otherwise: str) -> Callable[[], Any]:
    """Return what makes a setting's default: the variable where it is set, else ``otherwise``.

    A default only: the agent's configuration wins over it. The model that uses it turns the text
    into the field's type (``validate_default``).
    """

    def default() -> str:
        return os.environ.get(variable) or otherwise

    return default
