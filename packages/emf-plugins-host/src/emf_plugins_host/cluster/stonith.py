"""Whether a node can be fenced: judging the fencing agents in the configuration. No I/O here."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from emf_plugins_host.cluster.xml_text import Element, XmlError, attribute, parse_xml

__all__ = ["Fencing", "judge"]

logger = logging.getLogger(__name__)

OWN_AGENT = "fence_chroma"
STATIC = "static-list"


@dataclass(frozen=True)
class Fencing:
    """The verdict."""

    works: bool
    info: str
    config: Literal["IML", "Other"]


def judge(text: str, node: str) -> Fencing:
    """Return the verdict on what cibadmin found: the first agent that can fence ``node``.

    Raises:
        XmlError: it is something else, or the one agent that there is has no type.

    """
    root = parse_xml(text, "cibadmin")
    if root.tag == "primitive":
        return judge_agent(root, node)
    if root.tag != "xpath-query":
        raise XmlError(f"unexpected root element {root.tag}")
    for agent in root:
        try:
            verdict = judge_agent(agent, node)
        except XmlError as error:
            logger.warning("a fencing agent is passed over: %s", error)
            continue
        if verdict.works:
            return verdict
    return Fencing(works=False, info="No working fencing agents", config="Other")


def judge_agent(agent: Element, node: str) -> Fencing:
    """Return the verdict on one agent."""
    kind = attribute(agent, "type")
    given = agent.find("instance_attributes")
    if kind == OWN_AGENT:
        if given is None:
            return Fencing(works=False, info=f"{OWN_AGENT} - unconfigured", config="IML")
        return Fencing(works=True, info=OWN_AGENT, config="IML")
    role = target_role(agent)
    if role not in (None, "Started"):
        return Fencing(works=False, info=f"{kind} - role: {role}", config="Other")
    if given is not None and not can_fence(given, node):
        info = f"{kind} - {node} missing from host list"
        return Fencing(works=False, info=info, config="Other")
    return Fencing(works=True, info=kind, config="Other")


def target_role(agent: Element) -> str | None:
    """Return what the agent should do, from its first ``meta_attributes``."""
    meta = agent.find("meta_attributes")
    for pair in () if meta is None else meta.findall("nvpair"):
        if pair.get("name") == "target-role":
            return pair.get("value")
    return None


def can_fence(given: Element, node: str) -> bool:
    """Tell whether the agent can fence a node, as far as its own settings say."""
    must_be_listed = False
    hosts: list[str] | None = None
    for pair in given.findall("nvpair"):
        name, value = pair.get("name"), pair.get("value", "")
        if name == "pcmk_host_check":
            if value != STATIC:
                return True
            must_be_listed = True
        elif name == "pcmk_host_list":
            hosts = [host.strip() for host in value.replace(";", ",").replace(" ", ",").split(",")]
            must_be_listed = True
    return not must_be_listed or node in (hosts or [])
