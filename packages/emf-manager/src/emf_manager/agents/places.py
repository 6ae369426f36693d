"""One identity used from two places: a copied machine or a stolen key; no clock, no I/O.

An agent that restarts speaks as a new process from then on, and an address that changes stays
changed; a request or two of the old one may come late. Two that use one certificate take turns
without end. So what is counted is how often a speaker comes back after another one has spoken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Places", "Speaker", "heard"]

RETURNS = 5
"""An agent has two connections: a restart can make it come back four times."""
WINDOW_S = 600.0
TOLD_AGAIN_S = 3600.0
REMEMBERED = 4


@dataclass(frozen=True)
class Speaker:
    """One agent process at one address."""

    instance: str
    address: str

    def is_other(self, other: Speaker) -> bool:
        """Tell whether these are two; one host may well use both IPv4 and IPv6."""
        family = (":" in self.address) == (":" in other.address)
        return self.instance != other.instance or (family and self.address != other.address)


@dataclass(frozen=True)
class Places:
    """Who spoke with one identity of late."""

    recent: tuple[Speaker, ...] = ()
    """Each once, the last one last."""
    returns: tuple[float, ...] = ()
    told: float | None = None


def heard(places: Places, speaker: Speaker, now: float) -> tuple[Places, bool]:
    """Return what is known after a request, and whether an alarm is due; ``now`` is monotonic."""
    if places.recent and not speaker.is_other(places.recent[-1]):
        return places, False
    came_back = speaker in places.recent
    rest = tuple(each for each in places.recent if each != speaker)
    recent = (*rest, speaker)[-REMEMBERED:]
    places = replace(places, recent=recent)
    if not came_back:
        return places, False
    returns = (*(at for at in places.returns if now - at < WINDOW_S), now)[-RETURNS:]
    if len(returns) < RETURNS or (places.told is not None and now - places.told < TOLD_AGAIN_S):
        return replace(places, returns=returns), False
    return replace(places, returns=(), told=now), True
