"""Every setting of the agent: one frozen model, and where each value came from.

This is the public face of the room. Files, environment and flags are read by ``load_settings``
alone; everything else is handed a :class:`Settings`.
"""

from emf_agent.settings.layers import ALIASES, ENVIRONMENT_PREFIX
from emf_agent.settings.load import load_settings, plugin_settings
from emf_agent.settings.model import (
    ArgumentRule,
    Pace,
    PolicySettings,
    Settings,
)
from emf_agent.settings.paths import Paths

__all__ = [
    "ALIASES",
    "ENVIRONMENT_PREFIX",
    "ArgumentRule",
    "Pace",
    "Paths",
    "PolicySettings",
    "Settings",
    "load_settings",
    "plugin_settings",
]
