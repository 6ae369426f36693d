"""Who calls: the node that a request's verified certificate names, or a refusal.

Asked again for every request, since a connection outlives a revocation (requirement R13).
"""

from __future__ import annotations

import logging
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Scope

__all__ = ["Caller", "Callers", "verified"]

logger = logging.getLogger(__name__)


class Caller(Protocol):
    """Who is at the other end of a connection, as its verified certificate says."""

    @property
    def fqdn(self) -> str:
        """The name the certificate was issued for."""
        ...

    @property
    def serial(self) -> str:
        """Upper-case hex."""
        ...


class Callers(Protocol):
    """Who may speak."""

    def peer_of(self, scope: Scope) -> Caller | None:
        """Return the verified peer of a connection; None where it showed no certificate."""
        ...

    def refusal(self, caller: Caller) -> str | None:
        """Return why a caller must be refused, such as a revoked certificate; None where not."""
        ...


def verified(request: Request, callers: Callers) -> Caller:
    """Return who calls.

    Raises:
        HTTPException: 401 without a certificate of ours, 403 with one that is not welcome.

    """
    caller = callers.peer_of(request.scope)
    if caller is None:
        raise HTTPException(401, "show the certificate this manager issued")
    why = callers.refusal(caller)
    if why is not None:
        logger.warning("refused node=%s serial=%s: %s", caller.fqdn, caller.serial, why)
        raise HTTPException(403, why)
    return caller
