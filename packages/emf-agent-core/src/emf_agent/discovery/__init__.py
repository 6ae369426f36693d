"""The door to plugins: judged from metadata, then imported, then asked what they offer.

This is the public face of the room; no other room loads a plugin. pluggy's own loader is not used:
it imports before it asks, and looks at names alone (security design, section 2).
"""

from emf_agent.discovery.installed import Entry, Owner, installed_entries, installed_owners
from emf_agent.discovery.judgement import Check, Scene, Verdict, explain, judge
from emf_agent.discovery.loading import (
    discover,
    load_plugins,
    look_around,
    metadata_path,
    read_allowlist,
    running_mode,
    stray_tables,
    survey,
)

__all__ = [
    "Check",
    "Entry",
    "Owner",
    "Scene",
    "Verdict",
    "discover",
    "explain",
    "installed_entries",
    "installed_owners",
    "judge",
    "load_plugins",
    "look_around",
    "metadata_path",
    "read_allowlist",
    "running_mode",
    "stray_tables",
    "survey",
]
