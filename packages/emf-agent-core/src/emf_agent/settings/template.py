"""The configuration as it is first written: every setting with its default, commented out."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from emf_agent.settings.model import Settings

__all__ = ["configuration_text"]

OPENING = """\
# Configuration of the agent. Everything has a default: what is commented out shows it.
# Read after this file, later wins: conf.d/*.toml, EMF_AGENT_* (nesting by __), flags.
# `emf-agent config check` finds mistakes, `emf-agent config show --origin` says who won.
"""
CLOSING = """
# [daemon.NAME]: the keys of [daemons], for one daemon.

# [plugin."NAME"]: a plugin's own settings; its documentation lists them.
"""


def configuration_text() -> str:
    """Return the text of a new ``agent.toml``."""
    parts = [OPENING]
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            parts.append(section_text(name, section))
    return "\n".join(parts) + CLOSING


def section_text(name: str, section: type[BaseModel]) -> str:
    """Return one table."""
    summary = (section.__doc__ or "").partition("\n")[0]
    lines = [f"# {summary}", f"[{name}]"]
    for key, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        comment = f"  # {field.description}" if field.description else ""
        if isinstance(default, tuple) and key == "rule":
            continue
        lines.append(f"# {key} = {as_toml(default)}{comment}".rstrip())
    return "\n".join(lines) + "\n"


def as_toml(value: Any) -> str:
    """Return a default as TOML writes it; what is unset has none."""
    if value is None:
        return "(unset)"
    return json.dumps(list(value) if isinstance(value, tuple) else value)
