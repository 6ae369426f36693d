"""Defaults of settings that the ancestor took from the environment; its names go on working."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

__all__ = ["from_environment"]


def from_environment(*variables: str, otherwise: str | None) -> Callable[[], Any]:
    """Return what makes a setting's default: the first variable that is set, else ``otherwise``.

    A default only: the agent's configuration wins over it. The model that uses it turns the text
    into the field's type (``validate_default``).
    """

    def default() -> str | None:
        return next((value for name in variables if (value := os.environ.get(name))), otherwise)

    return default
