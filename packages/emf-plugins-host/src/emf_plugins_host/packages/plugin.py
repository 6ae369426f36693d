"""Entry point ``host.packages``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, hookimpl
from emf_plugins_host.packages import actions, kernels

__all__ = ["emf_actions"]


@hookimpl
def emf_actions() -> Sequence[Action[..., Any]]:
    """Offer the actions on packages, kernels and their modules."""
    return [
        actions.package_installed,
        actions.package_version,
        kernels.kernel_module_loaded,
        kernels.kernel_module_version,
        kernels.get_kernel,
    ]
