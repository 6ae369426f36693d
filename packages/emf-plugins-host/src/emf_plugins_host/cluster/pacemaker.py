"""The door to pacemaker: its own programs, which are there whichever shell manages the cluster."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from emf_agent.command import CommandFailedError, CommandNotFoundError, Completed, run
from emf_plugins_host.cluster.resources import ResourceInfo, parse_resource
from emf_plugins_host.cluster.status import Ban, Cluster, parse_bans, parse_cluster
from emf_plugins_host.cluster.xml_text import Element, to_text

__all__ = [
    "bans",
    "clear_move",
    "cluster",
    "create",
    "delete",
    "has_clone",
    "lustre_templates",
    "move",
    "resource",
    "resource_ids",
    "set_target_role",
]

logger = logging.getLogger(__name__)

XML_BYTES = 4 * 1024 * 1024
"""Of each end of a program's output; a cluster of hundreds of resources prints a megabyte."""
TEMPLATE = re.compile(r"template\[@id='([^']*)'\]")


async def resource_ids() -> list[str]:
    """Return the resources' names; of a clone's instances the first; none without a cluster."""
    try:
        completed = await run(["crm_resource", "--list-raw"], output_limit_bytes=XML_BYTES)
    except (CommandFailedError, CommandNotFoundError) as error:
        logger.info("no resources: %s", error)
        return []
    found = []
    for name in completed.stdout.lines():
        _, colon, instance = name.rpartition(":")
        if name and (not colon or instance == "0" or not instance.isdecimal()):
            found.append(name)
    return found


async def resource(name: str) -> ResourceInfo:
    """Return one resource."""
    return parse_resource((await query_xml(name)).stdout.text)


async def query_xml(name: str) -> Completed:
    """Return what crm_resource says of a resource, templates expanded."""
    return await run(
        ["crm_resource", "--query-xml", "--resource", name], output_limit_bytes=XML_BYTES
    )


async def cluster() -> Cluster:
    """Return nodes and resources as they are."""
    return parse_cluster(await crm_mon())


async def bans() -> list[Ban]:
    """Return the rules that keep resources from nodes."""
    return parse_bans(await crm_mon("--neg-locations"))


async def crm_mon(*more: str) -> str:
    """Return the XML of crm_mon: in today's form, or in the old one of pacemaker before 2.0.3."""
    for form in ("--output-as=xml", "--as-xml"):
        try:
            completed = await run(
                ["crm_mon", "--one-shot", "--inactive", form, *more], output_limit_bytes=XML_BYTES
            )
        except CommandFailedError as error:
            if form == "--output-as=xml" and is_unknown_option(error):
                continue
            raise
        break
    return completed.stdout.text


def is_unknown_option(error: CommandFailedError) -> bool:
    """Tell whether a program failed because it is older than the option."""
    said = error.completed.stderr.excerpt().lower()
    return any(word in said for word in ("unrecognized option", "unknown option", "usage:"))


async def create(part: Element) -> None:
    """Add resources and constraints to the configuration, all of them or none."""
    await run(
        [
            "cibadmin",
            "--modify",
            "--allow-create",
            "--scope",
            "configuration",
            "--xml-text",
            to_text(part),
        ]
    )


async def delete(paths: Sequence[str]) -> None:
    """Remove what the XPaths name, all of it or nothing; what is not there is gone already."""
    await run(["cibadmin", "--delete-all", "--xpath", "|".join(paths), "--force"])


async def has_clone(name: str) -> bool:
    """Tell whether a resource is there as a clone."""
    return f"{name}:0" in await resource_ids()


async def set_target_role(name: str, role: str) -> None:
    """Say what a resource should do; the cluster does it in its own time."""
    await run(
        [
            "crm_resource",
            "--resource",
            name,
            "--set-parameter",
            "target-role",
            "--meta",
            "--parameter-value",
            role,
        ]
    )


async def move(name: str, node: str) -> None:
    """Make a rule that wants a resource on a node."""
    await run(["crm_resource", "--resource", name, "--move", "--node", node])


async def clear_move(name: str, node: str) -> None:
    """Take back the rule that :func:`move` made; ``--un-move`` is no more since pacemaker 2."""
    await run(["crm_resource", "--resource", name, "--clear", "--node", node])


async def lustre_templates(file_system: str) -> list[str]:
    """Return the ids of the templates that a file system's servers are made from."""
    path = '//template[@type="lustre-server"]'
    try:
        completed = await run(["cibadmin", "--query", "--xpath", path, "-e"])
    except CommandFailedError as error:
        logger.info("no templates, cibadmin says: %s", error)
        return []
    found = TEMPLATE.findall(completed.stdout.text)
    return [name for name in found if name.startswith(f"lustre-{file_system}-")]
