"""Entry point ``host.cluster``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, DaemonFactory, hookimpl
from emf_plugins_host.cluster import (
    client_actions,
    components,
    multicast_action,
    resource_actions,
    tool_actions,
)
from emf_plugins_host.cluster.daemon import Corosync

__all__ = ["emf_actions", "emf_daemons"]


@hookimpl
def emf_actions() -> Sequence[Action[..., Any]]:
    """Offer the actions on the cluster stack."""
    return [
        components.action_check_ha,
        components.action_check_stonith,
        components.get_ha_resource_list,
        resource_actions.ha_resource_start,
        resource_actions.ha_resource_stop,
        resource_actions.ha_resource_move,
        resource_actions.ha_resource_create,
        resource_actions.ha_resource_create_cloned,
        resource_actions.ha_resource_destroy,
        client_actions.ha_cloned_client_create,
        client_actions.ha_cloned_client_destroy,
        tool_actions.crm_attribute,
        tool_actions.pcs,
        tool_actions.crm,
        multicast_action.change_mcast_port,
    ]


@hookimpl
def emf_daemons() -> Sequence[DaemonFactory]:
    """Offer daemon ``corosync``."""
    return [Corosync]
