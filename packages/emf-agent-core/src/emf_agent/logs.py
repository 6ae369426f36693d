"""The log: text for people, JSON for machines, priorities for the journal. Configured once."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Literal

__all__ = ["configure_logging"]

Format = Literal["auto", "text", "json", "journal"]

PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, logger, message, and the traceback where there is one."""
        told = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


class JournalFormatter(logging.Formatter):
    """Text with the priority that systemd reads from a line's beginning (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        """Put the priority before every line, so that a traceback keeps it."""
        priority = PRIORITIES.get(record.levelno, 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def configure_logging(level: str, form: Format) -> None:
    """Send the log to stderr in the wanted form; ``auto`` is the journal's form under systemd."""
    if form == "auto":
        form = "journal" if "JOURNAL_STREAM" in os.environ else "text"
    handler = logging.StreamHandler(sys.stderr)
    match form:
        case "json":
            handler.setFormatter(JsonFormatter())
        case "journal":
            handler.setFormatter(JournalFormatter("%(name)s: %(message)s"))
        case _:
            handler.setFormatter(
                logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
            )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Every request a line, at info: the poll would fill the log with nothing.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
