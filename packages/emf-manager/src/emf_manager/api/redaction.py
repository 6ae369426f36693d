"""Secrets among a job's arguments: what the action's schema marks is never shown again (R20)."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import JsonValue

from emf_manager.hidden_arguments import HIDDEN, hide
from emf_manager.views import CatalogueEntry

__all__ = ["HIDDEN", "hide_secrets"]


def hide_secrets(args: JsonValue, action: str, catalogue: Iterable[CatalogueEntry]) -> JsonValue:
    """Return arguments as they may be shown; what any node holds to be a secret is one.

    An action that nobody describes (an ancestor's agent tells no schemas) has no secrets to hide.
    """
    schemas = [
        variant.description.args_schema
        for entry in catalogue
        if entry.name == action
        for variant in entry.variants
    ]
    for schema in schemas:
        args = hide(args, schema)
    return args
