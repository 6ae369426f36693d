"""The actions of ``lustre.stratagem``, with what each one declares."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from emf_agent.plugin import Action, action
from emf_plugins_lustre.stratagem.copies import Copies
from emf_plugins_lustre.stratagem.mirrors import Mirrors
from emf_plugins_lustre.stratagem.purges import purge
from emf_plugins_lustre.stratagem.reports import Reports
from emf_plugins_lustre.stratagem.scans import Scans, SenderDoor
from emf_plugins_lustre.stratagem.settings import StratagemSettings

__all__ = ["stratagem_actions"]

SCAN_S = 24 * 3600.0
BATCH_S = 6 * 3600.0
FILES = ("files:{file_system}",)
"""Held by what takes data away: no two of them work on the same file system at once."""


def stratagem_actions(
    settings: StratagemSettings, door: SenderDoor | None = None
) -> Sequence[Action[..., Any]]:
    """Return the actions; ``door`` replaces the way to the manager."""
    scans = Scans(settings, door)
    mirrors, copies, reports = Mirrors(settings), Copies(settings), Reports(settings, door)
    batch = partial(action, timeout_s=BATCH_S, dry_run=True)
    # What a restart of the agent must not cost hours of: it goes on in a unit of its own.
    long = partial(batch, detached=True)
    return [
        long(timeout_s=SCAN_S)(scans.start_scan_stratagem),
        batch(idempotent=True)(scans.stream_fidlists_stratagem),
        long(name="action.mirror.extend")(mirrors.extend),
        long(name="action.mirror.resync", idempotent=True)(mirrors.resync),
        long(name="action.mirror.split", locks=FILES)(mirrors.split),
        batch(name="action.stratagem.warning")(reports.warning),
        batch(name="action.stratagem.purge", locks=FILES)(purge),
        long(name="action.stratagem.filesync", idempotent=True)(copies.filesync),
        long(name="action.stratagem.cloudsync", idempotent=True)(copies.cloudsync),
    ]
