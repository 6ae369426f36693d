"""What chrony and ntpd say of their sources, as numbers. Pure parsers of their programs' output.

chronyc(1) with ``-c`` prints comma-separated values, times in seconds; ntpq(1) prints a table,
times in milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from typing_extensions import TypedDict

from emf_agent.plugin import Gauge, SeriesKey

__all__ = [
    "Source",
    "Tracking",
    "chrony_offset_text",
    "chrony_sources",
    "chrony_tracking",
    "ntpd_offset_text",
    "ntpd_sources",
    "ntpd_tracking",
]

CHRONY_STATES = {
    "*": "selected",
    "+": "combined",
    "-": "not combined",
    "?": "unreachable",
    "x": "falseticker",
    "~": "too variable",
}
CHRONY_MODES = {"^": "server", "=": "peer", "#": "reference clock"}
NTPD_STATES = {
    "*": "selected",
    "o": "selected",
    "+": "combined",
    "-": "not combined",
    "x": "falseticker",
    ".": "not combined",
    "#": "not combined",
    " ": "unreachable",
}


class Source(TypedDict):
    """One server, peer or reference clock."""

    name: Annotated[str, SeriesKey()]
    mode: str
    state: str
    """``selected``, ``combined``, ``not combined``, ``unreachable``, ``falseticker``..."""
    stratum: int
    reach: int
    """The last eight answers as bits."""
    offset_seconds: Annotated[float | None, Gauge("seconds")]
    error_seconds: float | None


class Tracking(TypedDict):
    """How this node's clock follows."""

    reference: str
    stratum: int
    offset_seconds: Annotated[float, Gauge("seconds")]
    """How far the system clock is from true time, ahead positive."""
    frequency_ppm: Annotated[float, Gauge("ppm")]
    root_delay_seconds: Annotated[float, Gauge("seconds")]
    root_dispersion_seconds: Annotated[float, Gauge("seconds")]
    leap: str


def chrony_tracking(text: str) -> Tracking | None:
    """Return ``chronyc -c tracking``; None where it is not that."""
    fields = text.strip().split(",")
    if len(fields) < 14:
        return None
    try:
        return {
            "reference": fields[1] or fields[0],
            "stratum": int(fields[2]),
            # chronyc's column is the correction that is left, slow positive.
            "offset_seconds": -float(fields[4]),
            "frequency_ppm": float(fields[7]),
            "root_delay_seconds": float(fields[10]),
            "root_dispersion_seconds": float(fields[11]),
            "leap": fields[13],
        }
    except ValueError:
        return None


def chrony_sources(text: str) -> list[Source]:
    """Return ``chronyc -c sources``; lines that are none are left out."""
    found = []
    for line in text.splitlines():
        fields = line.split(",")
        try:
            mode, state, name, stratum, _, reach, _, offset, _, error = fields[:10]
            found.append(
                Source(
                    name=name,
                    mode=CHRONY_MODES.get(mode, mode),
                    state=CHRONY_STATES.get(state, state),
                    stratum=int(stratum),
                    reach=int(reach, 8),
                    offset_seconds=float(offset),
                    error_seconds=float(error),
                )
            )
        except ValueError:
            continue
    return found


def chrony_offset_text(ntpdata: str) -> str | None:
    """Return the offset as the ancestor cut it out of ``chronyc ntpdata``, without its sign."""
    match = re.search(r"Offset          : [+-]?(.*)", ntpdata)
    return None if match is None else match[1].strip()


def ntpd_offset_text(ntpstat: str) -> str | None:
    """Return the offset as the ancestor cut it out of ntpstat(1)."""
    match = re.search(r"time correct to within (.*)", ntpstat)
    return None if match is None else match[1].strip()


def ntpd_tracking(readvar: str) -> Tracking | None:
    """Return ``ntpq -c rv``; None where it is not that."""
    found = variables(readvar)
    try:
        return {
            "reference": found.get("refid", ""),
            "stratum": int(found["stratum"]),
            "offset_seconds": float(found.get("offset", "0")) / 1000,
            "frequency_ppm": float(found.get("frequency", "0")),
            "root_delay_seconds": float(found.get("rootdelay", "0")) / 1000,
            "root_dispersion_seconds": float(found.get("rootdisp", "0")) / 1000,
            "leap": found.get("leap", ""),
        }
    except (KeyError, ValueError):
        return None


def variables(readvar: str) -> Mapping[str, str]:
    """Return the ``name=value`` pairs of ntpq's list."""
    pairs = re.findall(r'(\w+)=("[^"]*"|[^,\s]+)', readvar)
    return {name: value.strip('"') for name, value in pairs}


def ntpd_sources(peers: str) -> list[Source]:
    """Return ``ntpq -p -n``: a table after a line of ``=``; lines that do not fit are left out."""
    found = []
    for line in peers.splitlines():
        words = line[1:].split()
        if len(words) != 10 or line[0] not in NTPD_STATES:
            continue
        try:
            found.append(
                Source(
                    name=words[0],
                    mode={"u": "server", "s": "peer", "l": "reference clock"}.get(
                        words[3], words[3]
                    ),
                    state=NTPD_STATES[line[0]],
                    stratum=int(words[2]),
                    reach=int(words[6], 8),
                    offset_seconds=float(words[8]) / 1000,
                    error_seconds=float(words[9]) / 1000,
                )
            )
        except ValueError:
            continue
    return found
