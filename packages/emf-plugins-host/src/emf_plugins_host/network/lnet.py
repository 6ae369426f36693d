"""What LNet says of its networks, from ``lnetctl net show``; nothing where there is no LNet."""

from __future__ import annotations

import logging
from typing import Any

from typing_extensions import TypedDict

from emf_agent.command import CommandFailedError, CommandNotFoundError, run

__all__ = ["LnetData", "lnet_data", "parse_lnet"]

ANSWER_WITHIN_S = 0.6

logger = logging.getLogger(__name__)


class LocalInterface(TypedDict):
    nid: str
    status: str
    interfaces: dict[str, str] | None


Net = TypedDict("Net", {"net type": str, "local NI(s)": list[LocalInterface]})


class LnetData(TypedDict):
    """The networks of LNet; an empty list where LNet is not loaded."""

    net: list[Net]


async def lnet_data() -> LnetData:
    """Return LNet's networks; a node without the program, or with LNet unloaded, has none.

    Raises:
        CommandTimeoutError: lnetctl hangs, as it does when LNet is in trouble.

    """
    try:
        completed = await run(["lnetctl", "net", "show"], timeout_s=ANSWER_WITHIN_S, grace_s=0)
    except CommandNotFoundError:
        return {"net": []}
    except CommandFailedError as error:
        # LNet is not loaded, or not configured: no reason to lose the interfaces (W-P2's kin).
        logger.debug("lnetctl has nothing to show: %s", error)
        return {"net": []}
    return parse_lnet(completed.stdout.text)


def parse_lnet(text: str) -> LnetData:
    """Return the networks in lnetctl's YAML; what is no network is left out.

    lnetctl writes plain YAML with unknown keys as it grows; only four are read.
    """
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        logger.warning("lnetctl net show: not YAML: %s", error)
        return {"net": []}
    listed = document.get("net") if isinstance(document, dict) else None
    nets = listed if isinstance(listed, list) else []
    return {"net": [net(one) for one in nets if isinstance(one, dict) and "net type" in one]}


def net(given: dict[str, Any]) -> Net:
    """Return one network."""
    own = given.get("local NI(s)")
    interfaces = own if isinstance(own, list) else []
    return {
        "net type": str(given["net type"]),
        "local NI(s)": [local(one) for one in interfaces if isinstance(one, dict)],
    }


def local(given: dict[str, Any]) -> LocalInterface:
    """Return one of this node's own network identifiers."""
    interfaces = given.get("interfaces")
    return {
        "nid": str(given.get("nid", "")),
        "status": str(given.get("status", "")),
        "interfaces": {str(key): str(value) for key, value in interfaces.items()}
        if isinstance(interfaces, dict)
        else None,
    }
