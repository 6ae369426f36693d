"""The node's own record of who had what done: append-only, and not the manager's to edit (R18).

One JSON line when an order is accepted, when it starts and when it has ended; secret arguments are
``***`` before they come here. The line of a start, and all before it, is on the disk before the
effect may begin, so a killed agent or a power cut leaves a start without an end, never an effect
without a start. It is the journal's witness, and written in the journal's thread.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from emf_agent.errors import JournalError
from emf_agent.journal import Acceptance, Outcome

__all__ = ["ActionTrail"]

logger = logging.getLogger(__name__)

FILE_BYTES = 10 * 1024 * 1024
FILES_KEPT = 5


class ActionTrail:
    """Appends to one file; a full one is set aside, and the oldest is dropped."""

    def __init__(
        self,
        path: Path,
        *,
        wall_clock: Callable[[], float] = time.time,
        file_bytes: int = FILE_BYTES,
        files_kept: int = FILES_KEPT,
    ) -> None:
        self._path = path
        self._wall_clock = wall_clock
        self._file_bytes = file_bytes
        self._files_kept = files_kept

    def accepted(self, order: Acceptance) -> None:
        """Note who orders what.

        Raises:
            JournalError: it cannot be noted; the action must not be run.

        """
        self._append(
            "accepted",
            order.id,
            action=order.action,
            requester=order.requester,
            args=json.loads(order.args_json),
            dry_run=order.dry_run,
        )

    def started(self, action_id: str) -> None:
        """Note that an effect may begin now; raises as ``accepted``."""
        self._append("started", action_id, sync=True)

    def ended(self, action_id: str, outcome: Outcome) -> None:
        """Note how it ended; what has happened is told, even where it cannot be noted."""
        try:
            self._append(
                "ended", action_id, outcome=outcome.kind, reason=outcome.reason,
                seconds=outcome.seconds,
            )  # fmt: skip
        except JournalError as error:
            logger.error("the end of id=%s is not in the node's audit trail: %s", action_id, error)

    def _append(self, what: str, action_id: str, *, sync: bool = False, **more: object) -> None:
        at = datetime.fromtimestamp(self._wall_clock(), timezone.utc).isoformat()
        line = json.dumps({"at": at, "what": what, "id": action_id, **more}).encode() + b"\n"
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._set_aside(len(line))
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.write(descriptor, line)
                if sync:
                    os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise JournalError(f"{self._path}: {error.strerror}") from error

    def _set_aside(self, more: int) -> None:
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return
        if size + more <= self._file_bytes:
            return
        for number in range(self._files_kept - 1, 0, -1):
            older = self._aged(number)
            if older.exists():
                older.replace(self._aged(number + 1))
        self._path.replace(self._aged(1))
        self._aged(self._files_kept).unlink(missing_ok=True)

    def _aged(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
