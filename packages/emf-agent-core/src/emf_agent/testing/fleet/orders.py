"""Faults on request: ``kill oss01 2``, ``cut oss*``, ``hang``, ``heal``, ``stop``, ``count``."""

from __future__ import annotations

from emf_agent.errors import UsageError
from emf_agent.testing.fleet.fleet import Fleet

__all__ = ["ORDERS", "BadOrderError", "obey"]

ORDERS = """\
kill PATTERN [SECONDS]  end these agents as SIGKILL would; they come back after a while (default 0)
cut PATTERN             break their network: requests fail at once
hang PATTERN            let nothing through their network, in silence
heal PATTERN            mend their network
stop PATTERN            end these agents in order, for good
count                   only say how many nodes match"""
"""What ``obey`` understands, for a program's help."""


class BadOrderError(UsageError):
    """An order that nobody understands; nothing was done."""

    def __init__(self, line: str, why: str) -> None:
        super().__init__(f"{line.strip()!r}: {why}; the orders are\n{ORDERS}")


def obey(fleet: Fleet, line: str) -> int:
    """Do what a line says, to the nodes that match its pattern; return how many there are.

    Raises:
        BadOrderError: there is no such order, or its argument is none.

    """
    match line.split():
        case ["kill", pattern, *rest] if len(rest) <= 1:
            down_s = seconds(line, rest[0]) if rest else 0.0
            for node in (nodes := fleet.matching(pattern)):
                node.kill(down_s=down_s)
        case ["cut", pattern]:
            for node in (nodes := fleet.matching(pattern)):
                node.network.cut()
        case ["hang", pattern]:
            for node in (nodes := fleet.matching(pattern)):
                node.network.hang()
        case ["heal", pattern]:
            for node in (nodes := fleet.matching(pattern)):
                node.network.heal()
        case ["stop", pattern]:
            for node in (nodes := fleet.matching(pattern)):
                node.stop()
        case ["count"]:
            return len(fleet.nodes)
        case _:
            raise BadOrderError(line, "not an order")
    return len(nodes)


def seconds(line: str, text: str) -> float:
    """Return a number of seconds."""
    try:
        found = float(text)
    except ValueError:
        raise BadOrderError(line, f"{text!r} is no number of seconds") from None
    if not 0 <= found <= 3600:
        raise BadOrderError(line, "a node is down for 0 to 3600 seconds")
    return found
