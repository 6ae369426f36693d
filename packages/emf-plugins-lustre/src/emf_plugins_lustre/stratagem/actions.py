"""The actions of ``lustre.stratagem``, with what each one declares."""

from __future__ import annotations

from collections.abc import Sequence
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
    mirror, stratagem = "action.mirror", "action.stratagem"
    return [
        action(timeout_s=SCAN_S, dry_run=True)(scans.start_scan_stratagem),
        action(timeout_s=BATCH_S, dry_run=True, idempotent=True)(scans.stream_fidlists_stratagem),
        action(name=f"{mirror}.extend", timeout_s=BATCH_S, dry_run=True)(mirrors.extend),
        action(name=f"{mirror}.resync", timeout_s=BATCH_S, dry_run=True, idempotent=True)(
            mirrors.resync
        ),
        action(name=f"{mirror}.split", timeout_s=BATCH_S, dry_run=True, locks=FILES)(mirrors.split),
        action(name=f"{stratagem}.warning", timeout_s=BATCH_S, dry_run=True)(reports.warning),
        action(name=f"{stratagem}.purge", timeout_s=BATCH_S, dry_run=True, locks=FILES)(purge),
        action(name=f"{stratagem}.filesync", timeout_s=BATCH_S, dry_run=True, idempotent=True)(
            copies.filesync
        ),
        action(name=f"{stratagem}.cloudsync", timeout_s=BATCH_S, dry_run=True, idempotent=True)(
            copies.cloudsync
        ),
    ]
