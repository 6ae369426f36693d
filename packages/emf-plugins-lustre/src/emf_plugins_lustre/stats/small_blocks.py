"""Small blocks: recovery, changelog users, health, import states, lists of clients.

Grammar: "lustre statistics", the sections of these names. Each reader takes the numbered
lines of one value and notes what it could not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.numbers import count
from emf_plugins_lustre.stats.records import (
    Changelog,
    ChangelogUser,
    Health,
    Recovery,
    State,
)

__all__ = [
    "is_client_uuid",
    "read_changelog",
    "read_health",
    "read_recovery",
    "read_state",
    "read_uuids",
]

Lines = Iterable[tuple[int, bytes]]

_FIELD = re.compile(rb"([A-Za-z_]\w*):?\s+(\S.*)", re.DOTALL)
_OUT_OF = re.compile(rb"(\d+)(?:/(\d+))?\Z")
_CURRENT = re.compile(rb"current[_ ]index:?\s+(\d+)\s*\Z")
_USER = re.compile(rb"(\S+)\s+(\d+)(?:\s+\((-?\d+)\))?(?:\s+(?:mask=)?(\S.*))?\Z", re.DOTALL)
_DEVICE = re.compile(rb"\s*device\s+(\S+)\s+reported\s+unhealthy")
_STATE = re.compile(rb"current_state:\s*(\w+)\s*\Z")
_PAST = re.compile(rb"\s*-\s*\[\s*(\d+)\s*,\s*(\w+)\s*\]\s*\Z")


def read_recovery(lines: Lines, losses: Losses, param: str) -> Recovery | None:
    """Return the status and every number; ``n/total`` of connected clients gives two."""
    status = ""
    fields: dict[str, int] = {}
    for number, line in lines:
        if not line.strip():
            continue
        match = _FIELD.match(line.strip())
        if match is None:
            losses.note(param, number, "unreadable field", line)
            continue
        name, text = match[1].decode(), match[2]
        if name == "status":
            status = text.decode("utf-8", "replace")
        elif (out_of := _OUT_OF.match(text)) is not None:
            value = count(out_of[1])
            total = count(out_of[2] or b"")
            if value is not None:
                fields[name] = value
            if total is not None:
                fields["total_clients" if name == "connected_clients" else f"{name}_of"] = total
    return Recovery(status, fields) if status or fields else None


def read_changelog(lines: Lines, losses: Losses, param: str) -> Changelog | None:
    """Return the current index and the users; wording before and after 2.13."""
    current: int | None = None
    users: list[ChangelogUser] = []
    for number, line in lines:
        text = line.strip()
        if not text or re.match(rb"ID\s+index", text):
            continue
        if (match := _CURRENT.match(text)) is not None:
            current = count(match[1])
        elif (match := _USER.match(text)) is not None and (index := count(match[2])) is not None:
            name, mask = match[1].decode("utf-8", "replace"), match[4]
            users.append(
                ChangelogUser(
                    name,
                    index,
                    count(match[3] or b""),
                    mask.decode("utf-8", "replace") if mask else None,
                )
            )
        else:
            losses.note(param, number, "unreadable user", line)
    if current is None:
        if users:
            losses.note(param, 0, "no current index")
        return None
    return Changelog(current, tuple(users))


def read_health(lines: Lines, losses: Losses, param: str) -> Health | None:
    """Return the verdict; unhealthy as soon as one line says so or names a device."""
    healthy: bool | None = None
    devices: list[str] = []
    for number, line in lines:
        text = line.strip()
        if (match := _DEVICE.match(line)) is not None:
            healthy = False
            devices.append(match[1].decode("utf-8", "replace"))
        elif text == b"healthy":
            healthy = True if healthy is None else healthy
        elif text in {b"NOT HEALTHY", b"LBUG"}:
            healthy = False
        elif text:
            losses.note(param, number, "unknown verdict", line)
    return None if healthy is None else Health(healthy, tuple(devices))


def read_state(lines: Lines, losses: Losses, param: str) -> State | None:
    """Return the state of an import and its history."""
    current: str | None = None
    history: list[tuple[int, str]] = []
    for number, line in lines:
        text = line.strip()
        if (match := _STATE.match(text)) is not None:
            current = match[1].decode()
        elif (match := _PAST.match(line)) is not None:
            history.append((int(match[1][:40]), match[2].decode()))
        elif text not in {b"", b"state_history:"}:
            losses.note(param, number, "unreadable state", line)
    return None if current is None else State(current, tuple(history))


def read_uuids(lines: Lines) -> list[str]:
    """Return the UUIDs behind one NID."""
    return [line.strip().decode("utf-8", "replace") for _, line in lines if line.strip()]


def is_client_uuid(uuid: str) -> bool:
    """Tell a client from a server: the UUID of another target ends in ``_UUID``."""
    return not uuid.endswith("_UUID")
