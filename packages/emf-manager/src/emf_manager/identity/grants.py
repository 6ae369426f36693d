"""Enrolment tokens: made once, shown once, kept as a hash, bound to names and a role."""

from __future__ import annotations

import re
import secrets

from emf_agent.errors import UsageError
from emf_agent.wire import EnrolmentToken
from emf_manager.nodesets import NodeSetError, parse_nodes
from emf_manager.records import EnrolmentGrant, hash_secret

__all__ = ["MAX_TTL_S", "covers", "new_grant"]

MAX_TTL_S = 7 * 86400.0
MAX_USES = 10_000
ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def new_grant(
    authority_sha256: str,
    *,
    now: float,
    created_by: str,
    pattern: str = "*",
    role: str | None = None,
    uses: int = 1,
    ttl_s: float = 3600.0,
    replace: bool = False,
    approval: bool = False,
) -> tuple[EnrolmentToken, EnrolmentGrant]:
    """Return a token of 256 random bits, and the grant that is kept of it.

    Raises:
        UsageError: a limit, the role, or the node set, which may have wildcards and no groups.

    """
    if not 1 <= uses <= MAX_USES:
        raise UsageError(f"a token is good for 1 to {MAX_USES} nodes, not {uses}")
    if not 0 < ttl_s <= MAX_TTL_S:
        raise UsageError(f"a token lives at most {MAX_TTL_S / 86400:g} days")
    if role is not None and ROLE.fullmatch(role) is None:
        raise UsageError(f"{role!r} is not a role's name; they look like oss, mds, mgs, client")
    covers(pattern, "node")
    token = EnrolmentToken(secrets.token_urlsafe(32), authority_sha256)
    grant = EnrolmentGrant(
        id=secrets.token_hex(6),
        secret_sha256=hash_secret(token.secret),
        pattern=pattern,
        role=role,
        uses=uses,
        uses_left=uses,
        created=now,
        expires=now + ttl_s,
        created_by=created_by,
        replace=replace,
        approval=approval,
    )
    return token, grant


def covers(pattern: str, fqdn: str) -> bool:
    """Tell whether a node set, with wildcards, has this name in it.

    Raises:
        NodeSetError: it cannot be read.

    """
    if "@" in pattern:
        raise NodeSetError(pattern, "groups may change later; name the nodes")
    return fqdn in parse_nodes(pattern.lower(), {}, known=[fqdn])
