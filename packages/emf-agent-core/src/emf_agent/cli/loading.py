"""How commands come to the loaded plugins: settings, allowlist, node, registry."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from emf_agent.discovery import load_plugins
from emf_agent.errors import UsageError
from emf_agent.host_facts import node_facts, resolve_fqdn
from emf_agent.registry import Registry
from emf_agent.settings import Settings

__all__ = ["load_registry", "not_here"]


def load_registry(settings: Settings, fqdn: str | None = None) -> Registry:
    """Load what the allowlist allows.

    Raises:
        ConfigurationError: the allowlist is invalid, or a required plugin is not loaded.

    """
    name = fqdn or settings.node.fqdn or resolve_fqdn()
    return load_plugins(settings, node_facts(name))


def not_here(kind: str, name: str, known: Collection[str]) -> UsageError:
    """Say that there is no such action or daemon, and which one may have been meant."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"`emf-agent {kind} list` shows all"
    return UsageError(f"no {kind} named {name!r} on this node; {hint}")
