"""Who may call what: one table of every route of the operators' API, and one decision over it.

Default deny: a route that is not in the table cannot be reached, whatever the router knows. A
node's certificate is no credential here; only a user's bearer token is (security requirements
R15 and R17).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "API_PREFIX",
    "ROLES",
    "ROUTES",
    "Mandate",
    "Permission",
    "Principal",
    "Role",
    "Route",
    "find_route",
    "methods_at",
    "permits",
]

API_PREFIX = "/api/v1"

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")

Permission = Literal["public", "read", "operate", "administer"]
"""``public`` needs no credential; the others are held by roles."""

AnswerKind = Literal["plain", "secret", "keyed", "stream"]
"""``secret``: it says one, once, and is never kept. ``keyed``: the route keeps its own idempotency
keys. ``stream``: it goes on, and is counted apart."""

GRANTED: dict[Role, frozenset[Permission]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "operate"}),
    "admin": frozenset({"read", "operate", "administer"}),
}


@dataclass(frozen=True)
class Mandate:
    """What may be ordered: these actions, on these nodes, with these argument values.

    Names and texts are patterns as of the shell (``*``, ``?``, ``[ab]``); whatever is not named
    is not allowed.
    """

    nodes: str = "*"
    """A node set, wildcards too, without groups."""
    actions: tuple[str, ...] = ("*",)
    args: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By argument, what it may be; any value where an argument is not named."""


@dataclass(frozen=True)
class Principal:
    """A verified caller."""

    user: str
    role: Role
    token_id: str
    mandates: tuple[Mandate, ...] = ()
    """What alone they may order; without any, whatever the role allows."""


@dataclass(frozen=True)
class Route:
    """One row of the table: a method at a path template, and what it takes to call it."""

    method: str
    path: str
    """As the router spells it, with ``{name}`` for a segment, below the API's prefix."""
    permission: Permission
    answer: AnswerKind = "plain"

    def matches(self, path: str) -> bool:
        """Tell whether a request's path belongs to this row."""
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(API_PREFIX + self.path))
        return re.fullmatch(pattern, path) is not None


ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", "public"),
    Route("GET", "/openapi.json", "read"),
    Route("GET", "/me", "read"),
    Route("GET", "/metrics", "read"),
    Route("GET", "/nodes", "read"),
    Route("GET", "/nodes/{fqdn}", "read"),
    Route("DELETE", "/nodes/{fqdn}", "administer"),
    Route("GET", "/nodes/{fqdn}/labels", "read"),
    Route("PUT", "/nodes/{fqdn}/labels", "administer"),
    Route("POST", "/nodes/{fqdn}/approve", "administer"),
    Route("POST", "/nodes/{fqdn}/revoke", "administer"),
    Route("GET", "/sessions", "read"),
    Route("GET", "/data", "read"),
    Route("GET", "/data/{fqdn}/{daemon}", "read"),
    Route("GET", "/data/{fqdn}/{daemon}/stream", "read", "stream"),
    Route("GET", "/history/{fqdn}/{daemon}", "read"),
    Route("GET", "/actions", "read"),
    Route("GET", "/actions/{name}", "read"),
    Route("GET", "/groups", "read"),
    Route("PUT", "/groups/{name}", "operate"),
    Route("DELETE", "/groups/{name}", "operate"),
    Route("POST", "/targets", "read"),
    Route("GET", "/jobs", "read"),
    Route("POST", "/jobs", "operate", "keyed"),
    Route("GET", "/jobs/{job_id}", "read"),
    Route("POST", "/jobs/{job_id}/cancel", "operate"),
    Route("GET", "/plans", "read"),
    Route("POST", "/plans", "operate", "keyed"),
    Route("POST", "/plans/check", "operate"),
    Route("GET", "/plans/{plan_id}", "read"),
    Route("POST", "/plans/{plan_id}/cancel", "operate"),
    Route("POST", "/plans/{plan_id}/resume", "operate"),
    Route("POST", "/ping", "operate"),
    Route("GET", "/events", "read"),
    Route("GET", "/events/stream", "read", "stream"),
    Route("GET", "/alerts", "read"),
    Route("GET", "/alerts/{alert_id}", "read"),
    Route("POST", "/alerts/{alert_id}/acknowledge", "operate"),
    Route("GET", "/audit", "administer"),
    Route("GET", "/users", "administer"),
    Route("POST", "/users", "administer"),
    Route("GET", "/users/{name}", "administer"),
    Route("DELETE", "/users/{name}", "administer"),
    Route("PUT", "/users/{name}/mandates", "administer"),
    Route("GET", "/tokens", "administer"),
    Route("POST", "/tokens", "administer", "secret"),
    Route("DELETE", "/tokens/{token_id}", "administer"),
    Route("GET", "/enrolment-tokens", "administer"),
    Route("POST", "/enrolment-tokens", "administer", "secret"),
    Route("DELETE", "/enrolment-tokens/{token_id}", "administer"),
)


def find_route(method: str, path: str) -> Route | None:
    """Return the row a request falls under, or None: then it is refused."""
    return next((row for row in rows_at(path) if row.method == method), None)


def methods_at(path: str) -> tuple[str, ...]:
    """Return the methods that the table knows at this path; none for an unknown path."""
    return tuple(sorted({row.method for row in rows_at(path)}))


def permits(principal: Principal | None, permission: Permission) -> bool:
    """Decide: nothing is allowed that no row grants."""
    if permission == "public":
        return True
    return principal is not None and permission in GRANTED.get(principal.role, frozenset())


def rows_at(path: str) -> Iterator[Route]:
    return (row for row in ROUTES if row.matches(path))
