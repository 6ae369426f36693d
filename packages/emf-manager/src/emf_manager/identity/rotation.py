"""The rules of replacing the authority: which steps there are, and which nodes each would lose.

A rotation has three steps, so that nobody is left behind. ``begin`` makes the next authority and
has everybody trust it beside the one that issues. ``switch`` has the next one issue. ``finish``
drops the one before. ``abort`` goes back. Between the steps each node renews its certificate once,
by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from emf_agent.errors import RefusedError

__all__ = [
    "WHAT_NOW",
    "Phase",
    "Rotation",
    "Standing",
    "behind_finish",
    "behind_switch",
    "standing_of",
    "standings_of",
]

Phase = Literal["settled", "announced", "switched"]


@dataclass(frozen=True)
class Rotation:
    """Authorities by the names of their places; the one that issues is always there."""

    issuing: str
    next: str | None = None
    """Made and trusted; issues nothing yet."""
    previous: str | None = None
    """Issues nothing any more; trusted until every node has let it go."""

    @property
    def phase(self) -> Phase:
        """Where the rotation is."""
        if self.next is not None:
            return "announced"
        return "settled" if self.previous is None else "switched"

    @property
    def trusted(self) -> tuple[str, ...]:
        """All of them, the one that issues first."""
        return tuple(one for one in (self.issuing, self.next, self.previous) if one is not None)

    def begin(self, name: str) -> Rotation:
        """Announce a new authority.

        Raises:
            RefusedError: a rotation is going on.

        """
        if self.phase != "settled":
            raise RefusedError(f"a rotation is {self.phase} already; {WHAT_NOW[self.phase]}")
        return Rotation(self.issuing, next=name)

    def switch(self) -> Rotation:
        """Have the next authority issue.

        Raises:
            RefusedError: none is announced.

        """
        if self.next is None:
            raise RefusedError(f"no authority is announced; {WHAT_NOW[self.phase]}")
        return Rotation(self.next, previous=self.issuing)

    def finish(self) -> Rotation:
        """Let the previous authority go.

        Raises:
            RefusedError: there is none.

        """
        if self.previous is None:
            raise RefusedError(f"there is no previous authority; {WHAT_NOW[self.phase]}")
        return Rotation(self.issuing)

    def abort(self) -> Rotation:
        """Go back: drop what was announced, or have the previous authority issue again.

        Raises:
            RefusedError: no rotation is going on.

        """
        if self.previous is not None:
            return Rotation(self.previous, previous=self.issuing)
        if self.next is None:
            raise RefusedError("no rotation is going on; there is nothing to abort")
        return Rotation(self.issuing)


WHAT_NOW: Mapping[Phase, str] = {
    "settled": "begin one with `emf-manager ca rotate begin`",
    "announced": "go on with `emf-manager ca rotate switch`, or go back with `… abort`",
    "switched": "end it with `emf-manager ca rotate finish`, or go back with `… abort`",
}


@dataclass(frozen=True)
class Standing:
    """What a node last said of the authorities it trusts; nothing where it never said."""

    fqdn: str
    trusts: frozenset[str] = frozenset()
    """SHA-256 of each certificate, hex."""
    issuer: str | None = None
    """SHA-256 of the one that issued the certificate it uses."""


def standing_of(fqdn: str, report: JsonValue) -> Standing:
    """Read a node's standing from what its daemon ``agent`` sent last, whatever that is."""
    certificate = report.get("certificate") if isinstance(report, dict) else None
    if not isinstance(certificate, dict):
        return Standing(fqdn)
    trusts, issuer = certificate.get("authorities"), certificate.get("issuer")
    known = [one for one in trusts if isinstance(one, str)] if isinstance(trusts, list) else []
    return Standing(fqdn, frozenset(known), issuer if isinstance(issuer, str) else None)


def behind_switch(standings: Iterable[Standing], following: str) -> tuple[str, ...]:
    """Return the nodes that could not verify a server whose certificate the next one issued."""
    return tuple(sorted(one.fqdn for one in standings if following not in one.trusts))


def behind_finish(standings: Iterable[Standing], issuing: str) -> tuple[str, ...]:
    """Return the nodes whose certificate would be worth nothing without the previous one."""
    return tuple(
        sorted(one.fqdn for one in standings if issuing not in one.trusts or one.issuer != issuing)
    )


def standings_of(
    reports: Mapping[str, JsonValue], counted: Collection[str]
) -> tuple[Standing, ...]:
    """Return how the counted nodes stand; one that never reported knows nothing."""
    return tuple(standing_of(fqdn, reports.get(fqdn)) for fqdn in sorted(counted))
