"""The file of routes: one mailbox a line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from emf_agent.errors import ActionError
from emf_plugins_lustre.mailboxes.sockets import socket_path

__all__ = ["check_socket_path", "parse_routes", "routes_text", "with_route", "without_route"]

ROUTE = re.compile(r"[A-Za-z0-9_][!-.0-~]{0,199}")
LONGEST_SOCKET_PATH = 107
"""Bytes that the kernel takes for a socket's path (unix(7))."""


def parse_routes(text: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the mailboxes, and a complaint for each line that is no name and no blank."""
    found = set()
    complaints = []
    for number, line in enumerate(text.splitlines(), start=1):
        name = line.strip()
        if ROUTE.fullmatch(name):
            found.add(name)
        elif name:
            complaints.append(f"line {number}: {name[:80]!r} is no mailbox's name")
    return frozenset(found), tuple(complaints)


def routes_text(routes: Iterable[str]) -> str:
    """Return the file's text, sorted."""
    return "".join(f"{name}\n" for name in sorted(routes))


def with_route(text: str, mailbox: str) -> str:
    """Return the file with a mailbox; the same text where it has it."""
    routes, _ = parse_routes(text)
    return text if mailbox in routes else routes_text(routes | {mailbox})


def without_route(text: str, mailbox: str) -> str:
    """Return the file without a mailbox; the same text where it did not have it."""
    routes, _ = parse_routes(text)
    return routes_text(routes - {mailbox}) if mailbox in routes else text


def check_socket_path(folder: Path, mailbox: str) -> Path:
    """Return a mailbox's socket; raises ActionError where the kernel could not take its path."""
    path = socket_path(folder, mailbox)
    size = len(str(path).encode())
    if size > LONGEST_SOCKET_PATH:
        raise ActionError(
            f"mailbox: the socket {path} would have {size} bytes, a socket's path has"
            f" {LONGEST_SOCKET_PATH} at most; take a shorter name or socket_folder"
        )
    return path
