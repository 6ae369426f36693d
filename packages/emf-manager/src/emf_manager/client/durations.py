"""How long something may take, as people write it: ``90``, ``30s``, ``15m``, ``1h``."""

from __future__ import annotations

from typing import Any

import click

from emf_agent.errors import UsageError
from emf_manager.settings import parse_seconds

__all__ = ["Seconds"]


class Seconds(click.FloatRange):
    """A duration within limits; its value is in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; a plain number is seconds already."""
        if isinstance(value, str):
            try:
                value = parse_seconds(value)
            except UsageError as error:
                self.fail(str(error), param, ctx)
        return float(super().convert(value, param, ctx))
