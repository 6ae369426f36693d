"""Action ``unit_log``: the last lines that a unit wrote, from the journal."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from emf_agent.command import open_command
from emf_agent.plugin import action
from emf_plugins_host.journal_entries import (
    FIELDS,
    Entry,
    ExportParser,
    JournalLine,
    entries,
    journal_line,
)
from emf_plugins_host.units.run_state import UnitName

__all__ = ["unit_log"]

MESSAGE_BYTES = 4096


@action(timeout_s=60, idempotent=True, read_only=True)
async def unit_log(
    unit: UnitName, lines: Annotated[int, Field(ge=1, le=1000)] = 100
) -> list[JournalLine]:
    """Return the last lines of a unit's log, oldest first; none where it wrote nothing."""
    argv = [
        "journalctl",
        "--output=export",
        f"--output-fields={','.join(FIELDS)}",
        "--no-pager",
        f"--lines={lines}",
        f"--unit={unit}",
    ]
    parser = ExportParser(MESSAGE_BYTES)
    found: list[Entry] = []
    async with open_command(argv) as stream:
        while data := await stream.read():
            found += entries(parser.feed(data))
        await stream.finished()
    return [journal_line(one) for one in found]
