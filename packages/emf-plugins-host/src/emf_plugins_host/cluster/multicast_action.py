"""Action ``change_mcast_port``: corosync's multicast port, in its file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import anyio.to_thread
from pydantic import Field

from emf_agent.command import run
from emf_agent.plugin import ActionContext, action
from emf_plugins_host.cluster.corosync_conf import change_port, config_version, next_version
from emf_plugins_host.config_file import difference, read_config, replace_config

__all__ = ["change_mcast_port"]

COROSYNC_CONF = Path("/etc/corosync/corosync.conf")


@action(timeout_s=60, dry_run=True, locks=("corosync.conf",))
async def change_mcast_port(
    port: Annotated[int, Field(ge=1, le=65535)], context: ActionContext
) -> str | None:
    """Change the multicast port in corosync.conf, with a new version; corosync is not reloaded."""
    before = await anyio.to_thread.run_sync(read_config, COROSYNC_CONF)
    running = (await run(["corosync-cmapctl", "totem"])).stdout.text
    after = change_port(before, port, next_version(config_version(running)))
    if context.dry_run:
        return difference(COROSYNC_CONF, before, after)
    await anyio.to_thread.run_sync(replace_config, COROSYNC_CONF, after)
    return None
