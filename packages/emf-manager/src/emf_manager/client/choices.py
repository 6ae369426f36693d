"""Flags that choose nodes and say how a job goes over them; the same on every command."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["MOST", "by_facts", "going", "in_steps", "rolling"]

F = TypeVar("F", bound=Callable[..., Any])
PERCENTAGE = re.compile(r"(\d{1,3})\s*%")
MOST = 20_000


def share(_: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    """Return a number of nodes, or a percentage of them as a text; as the API takes it."""
    text = (value or "").strip()
    found = PERCENTAGE.fullmatch(text)
    if found is not None and 1 <= int(found[1]) <= 100:
        return f"{int(found[1])}%"
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST:
        return int(text)
    if value is None:
        return None
    raise click.BadParameter(
        f"expected a number of nodes (1 to {MOST}), or 1% to 100%, got {text[:40]!r}", param=param
    )


OPTIONS = {
    "batch": "So many nodes at once; the next ones when all of these have their outcome.",
    "limit": "Only the first so many of the nodes that match, by name.",
    "canary": "So many go first; the others only when all of them succeeded.",
    "fail_limit": "Release no more once so many have not succeeded.",
}


def by_facts(command: F) -> F:
    """Add ``-F NAME=VALUE``: only nodes with such facts."""
    return click.option(
        *("-F", "--fact", "facts"),
        metavar="FILTER",
        multiple=True,
        help="Only nodes with this fact: os.name=rhel; also != ~ !~ < <= > >=; repeat for 'and'.",
    )(command)


def rolling(command: F) -> F:
    """Add what says how a job goes over its nodes."""
    command = click.option(
        "--spread",
        type=click.Choice(["ha"]),
        help="ha: never two servers of one HA cluster at once.",
    )(command)
    for name, told in reversed(OPTIONS.items()):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, name, metavar="N|P%", callback=share, help=told)(command)
    return command


def going(flags: dict[str, Any]) -> dict[str, Any]:
    """Return those flags of ``rolling`` that were given, as the API takes them."""
    return {name: value for name, value in flags.items() if value is not None}


def in_steps(flags: dict[str, Any]) -> bool:
    """Tell whether a job goes in more than one step, so that its timeout is not its whole time."""
    return any(flags.get(name) is not None for name in ("batch", "canary", "spread"))
