"""What a unit is: the manager's six run states, derived from systemd's own words. No I/O here."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import StringConstraints

__all__ = ["RunState", "UnitName", "UnitStatus", "run_state"]

logger = logging.getLogger(__name__)

RunState = Literal["Stopped", "Enabled", "Activating", "Failed", "Started", "Setup"]
KINDS = "service|socket|target|mount|automount|swap|timer|path|slice|scope|device"
UnitName = Annotated[
    str,
    StringConstraints(pattern=rf"^[A-Za-z0-9:_.\\@-]+\.({KINDS})$", max_length=255),
]
"""A full unit name, suffix included (systemd.unit(5))."""

STARTS_BY_ITSELF = frozenset({"enabled", "enabled-runtime"})
PLAIN = STARTS_BY_ITSELF | {"disabled"}
IN_BETWEEN = frozenset({"activating", "deactivating", "maintenance"})
UP = frozenset({"active", "reloading", "refreshing"})


@dataclass(frozen=True)
class UnitStatus:
    """What systemd says of a unit, in its own words."""

    name: str
    """The name it has itself, where it was asked for by an alias."""
    path: str
    load_state: str
    file_state: str
    """``enabled``, ``disabled``, ``static``, ``masked``...; empty where there is no file."""
    active_state: str

    @property
    def exists(self) -> bool:
        """Tell whether there is such a unit; one that runs exists even without its file."""
        return self.load_state != "not-found" or self.active_state not in ("inactive", "failed")

    @property
    def run_state(self) -> RunState:
        """Return the manager's word for it."""
        return run_state(self.file_state, self.active_state, self.name)


def run_state(file_state: str, active_state: str, name: str = "") -> RunState:
    """Return the run state of a pair of systemd's states.

    A state of the unit's file that the ancestor did not know (static, masked, generated...) counts
    as disabled: nothing starts the unit by itself. On the way up or down is ``Activating``: not
    there yet.
    """
    if file_state not in PLAIN:
        logger.debug("unit=%s file state %r counts as disabled", name, file_state)
    enabled = file_state in STARTS_BY_ITSELF
    if active_state in UP:
        return "Setup" if enabled else "Started"
    if active_state in IN_BETWEEN:
        return "Activating"
    if active_state == "failed":
        return "Failed"
    return "Enabled" if enabled else "Stopped"
