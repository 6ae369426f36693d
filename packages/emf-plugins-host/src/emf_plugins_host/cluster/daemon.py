"""Daemon ``corosync``: the cluster as this node sees it."""

from __future__ import annotations

from typing import ClassVar

import anyio

from emf_agent.command import CommandNotFoundError, run
from emf_agent.errors import ActionError
from emf_agent.plugin import Daemon, DaemonFault, NotReadyError
from emf_plugins_host.cluster import pacemaker
from emf_plugins_host.cluster.status import Cluster, Resource, parse_node_id
from emf_plugins_host.cluster.xml_text import parse_xml

__all__ = ["ClusterPayload", "Corosync"]

MOUNT_SETTINGS = {"ocf:ddn:lustre-server": "directory", "ocf:lustre:Lustre": "mountpoint"}
CONCURRENT = 4

ClusterPayload = tuple[str, Cluster] | None


class Corosync(Daemon):
    """Nodes, resources, bans and mounts of the cluster; nothing where there is no cluster stack."""

    name: ClassVar[str] = "corosync"
    deadline_s: ClassVar[float] = 10.0
    start_deadline_s: ClassVar[float] = 15.0

    async def start_session(self) -> ClusterPayload:
        """Return the first look.

        Raises:
            NotReadyError: the cluster is installed, but does not run.

        """
        try:
            return await self.look()
        except ActionError as error:
            raise NotReadyError(f"the cluster does not answer: {error}") from error

    async def update_session(self) -> ClusterPayload:
        """Return the cluster as it is now.

        Raises:
            DaemonFault: it does not answer any more.

        """
        try:
            return await self.look()
        except ActionError as error:
            raise DaemonFault(f"the cluster does not answer: {error}") from error

    async def look(self) -> ClusterPayload:
        """Ask corosync who we are, and pacemaker for everything else."""
        try:
            said = await run(["corosync-cfgtool", "-s"])
            node_id = parse_node_id(said.stdout.text)
            if node_id is None:
                return None
            cluster = await pacemaker.cluster()
        except CommandNotFoundError:
            return None
        cluster["resource_mounts"] = await mounts(cluster["resources"])
        cluster["bans"] = await pacemaker.bans()
        return node_id, cluster


async def mounts(resources: list[Resource]) -> dict[str, str]:
    """Return where the Lustre targets among the resources are mounted, by resource."""
    limiter = anyio.CapacityLimiter(CONCURRENT)
    found: dict[str, str] = {}
    trouble: list[ActionError] = []

    async def ask(name: str, setting: str) -> None:
        try:
            async with limiter:
                output = (await pacemaker.query_xml(name.partition(":")[0])).stdout.text
            path = mount_of(output, setting)
        except ActionError as error:
            trouble.append(error)
            return
        if path is not None:
            found[name] = path

    async with anyio.create_task_group() as tasks:
        for one in resources:
            # Pacemaker before 2.1 wrote two colons where there is one now.
            setting = MOUNT_SETTINGS.get(one["resource_agent"].replace("::", ":"))
            if setting is not None:
                tasks.start_soon(ask, one["id"], setting)
    if trouble:
        raise trouble[0]
    return {name: found[name] for name in sorted(found)}


def mount_of(output: str, setting: str) -> str | None:
    """Return the value of the last ``nvpair`` of this name; two lines of words come first."""
    text = output.split("\n", 2)[-1]
    pairs = parse_xml(text, "crm_resource").iter("nvpair")
    values = [pair.get("value") for pair in pairs if pair.get("name") == setting]
    return values[-1] if values else None
