"""The folder through which agent and unit speak: the order in, progress and the verdict out.

All of it is readable by the owner alone, and the order, which may hold secrets, is gone from the
disk before the action begins: an order that is still there has had no effect.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from emf_agent.action_call import RESULT_BYTES, Verdict
from emf_agent.errors import EmfError
from emf_agent.identity_files import write_private
from emf_agent.plugin import Progress
from emf_agent.wire import Err, Ok, OutcomeKind

__all__ = ["ActionFolder", "Order", "OrderError", "key_of"]

PROGRESS_BYTES = 1024 * 1024
"""More progress of one action than this is dropped: nobody may be there to read it."""
PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
"""What both a file and a unit may be called, systemd.unit(5); never a way out of the folder."""


class OrderError(EmfError):
    """There is no order to carry out in the folder, or it cannot be read."""


class Order(BaseModel):
    """What a unit is to do; ``args`` is as the manager sent it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    action: str
    args: JsonValue
    timeout_s: float
    """Seconds from the beginning of the unit."""
    result_bytes: int = RESULT_BYTES
    environment: Mapping[str, str] = {}
    """The agent's own settings from the environment."""


class Report(BaseModel):
    """A verdict on the disk."""

    model_config = ConfigDict(frozen=True)

    kind: OutcomeKind
    value: JsonValue = None
    error: str | None = None
    reason: str | None = None
    truncated: bool = False


def key_of(action_id: str) -> str:
    """Return an id as a part of file and unit names; one with odd characters is hashed."""
    if PLAIN_ID.fullmatch(action_id):
        return action_id
    return hashlib.sha256(action_id.encode()).hexdigest()


@dataclass
class ActionFolder:
    """One action's folder. Methods that touch the disk raise OSError, or EmfError where said."""

    path: Path
    _read_up_to: int = field(default=0, repr=False)

    @property
    def _order(self) -> Path:
        return self.path / "order.json"

    @property
    def _report(self) -> Path:
        return self.path / "verdict.json"

    @property
    def _progress(self) -> Path:
        return self.path / "progress.jsonl"

    def is_unread(self) -> bool:
        """Tell whether the order was not taken: then nothing was done."""
        return self._order.exists()

    def place(self, order: Order) -> None:
        """Leave an order for the unit; raises EmfError where it cannot be written."""
        write_private(self._order, order.model_dump_json(), mode=0o600)

    def order(self) -> Order:
        """Read the order and leave it there; raises OrderError."""
        try:
            return Order.model_validate_json(self._order.read_bytes())
        except FileNotFoundError:
            raise OrderError(f"{self.path} holds no order; it was taken before") from None
        except (OSError, ValidationError) as error:
            raise OrderError(f"{self._order} cannot be read: {error}") from error

    def take(self) -> None:
        """Remove the order, also from a disk whose power is cut a moment later."""
        self._order.unlink()
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def conclude(self, verdict: Verdict) -> None:
        """Write how it ended, in one step; raises EmfError."""
        result = verdict.result
        report = Report(
            kind=verdict.kind,
            value=result.value if isinstance(result, Ok) else None,
            error=result.text if isinstance(result, Err) else None,
            reason=verdict.reason,
            truncated=verdict.truncated,
        )
        write_private(self._report, report.model_dump_json(), mode=0o600)

    def verdict(self) -> Verdict | None:
        """Return how it ended; None where that is not written."""
        try:
            report = Report.model_validate_json(self._report.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            why = f"its result cannot be read: {error}"
            return Verdict("unknown", Err(text=why), reason="result-unreadable")
        result = Ok(value=report.value) if report.error is None else Err(text=report.error)
        return Verdict(report.kind, result, report.reason, report.truncated)

    def tell(self, progress: Progress) -> None:
        """Add a report of progress, as a line."""
        line = json.dumps([progress.fraction, progress.message, progress.log]) + "\n"
        with open(self._progress, "a", encoding="utf-8", opener=private) as file:
            if file.tell() < PROGRESS_BYTES:
                file.write(line)

    def news(self) -> list[Progress]:
        """Return the reports since the last call; of what cannot be read, none."""
        try:
            with self._progress.open("rb") as file:
                file.seek(self._read_up_to)
                text = file.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read_up_to += len(whole)
        found = []
        for line in whole.splitlines():
            with contextlib.suppress(ValueError, TypeError):
                fraction, message, log = json.loads(line)
                found.append(Progress(fraction=fraction, message=message, log=tuple(log)))
        return found

    def remove(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def private(path: str, flags: int) -> int:
    """Open a file that only its owner can read."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
