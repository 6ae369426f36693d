"""Which of the statistics are worth a chart: marks in the payload's schema, nothing on the wire.

Records are built as plain objects, so their schema is written here as a table rather than taken
from classes. A record names its series by its target or NID, and a row of a stats block by its own
name: ``[fs1-OST0000].bytes_free``, ``[fs1-OST0000].stats[write_bytes].sum``.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import WithJsonSchema

from emf_agent.plugin import Counter, Gauge, SeriesKey, SeriesName

__all__ = ["Charted"]

Json = dict[str, Any]
Series = Gauge | Counter

TARGETS: tuple[tuple[str, str, Series], ...] = (
    ("BytesAvail", "bytes_available", Gauge("bytes")),
    ("BytesFree", "bytes_free", Gauge("bytes")),
    ("BytesTotal", "bytes_total", Gauge("bytes")),
    ("FilesFree", "files_free", Gauge("inodes")),
    ("FilesTotal", "files_total", Gauge("inodes")),
    ("NumExports", "exports", Gauge("clients")),
    ("ConnectedClients", "connected_clients", Gauge("clients")),
    ("TotDirty", "dirty", Gauge("bytes")),
    ("TotGranted", "granted", Gauge("bytes")),
    ("TotPending", "pending", Gauge("bytes")),
    ("LockCount", "locks", Gauge("locks")),
    ("ThreadsStarted", "threads", Gauge("threads")),
)
NIDS: tuple[tuple[str, str, Series], ...] = (
    ("SendCount", "sent", Counter("messages")),
    ("RecvCount", "received", Counter("messages")),
    ("DropCount", "dropped", Counter("messages")),
)
WHOLE_NODE: tuple[tuple[str, str, Series], ...] = (
    ("SendLength", "length", Counter("bytes")),
    ("RecvLength", "length", Counter("bytes")),
    ("DropLength", "length", Counter("bytes")),
)
MEMORY: tuple[tuple[str, str, Series], ...] = (
    ("Memused", "size", Gauge("bytes")),
    ("LNetMemUsed", "size", Gauge("bytes")),
)


def told(schema: Json, *marks: Series | SeriesKey | SeriesName) -> Json:
    """Return a schema with marks in it."""
    return {**schema, **dict(mark.keyword() for mark in marks)}


def members(properties: Json) -> Json:
    return {"type": "object", "properties": properties}


def single(key: str, name: str, mark: Series) -> Json:
    """Return a record with one number, named by a member and by ``name``."""
    return members({key: KEY, "value": told({"type": "integer"}, mark, SeriesName(name))})


def tags(key: str, table: tuple[tuple[str, str, Series], ...]) -> Json:
    return {tag: single(key, name, mark) for tag, name, mark in table}


KEY = told({"type": "string"}, SeriesKey())
OPERATIONS = told({"type": "integer"}, Counter("operations"))
TRANSFERRED = told({"enum": ["read_bytes", "write_bytes"]}, SeriesKey())
TOTAL = told({"type": ["integer", "null"]}, Counter("bytes"))
ROWS = told(
    {
        "type": "array",
        "items": {
            "anyOf": [
                members({"name": TRANSFERRED, "samples": OPERATIONS, "sum": TOTAL}),
                members({"name": KEY, "samples": OPERATIONS}),
            ]
        },
    },
    SeriesName("stats"),
)
RECORD = members(
    {
        "Target": members(
            {
                **tags("target", TARGETS),
                "Stats": members({"target": KEY, "value": ROWS}),
                "Llite": members({"target": KEY, "stats": ROWS}),
            }
        ),
        "LNetStat": members({**tags("nid", NIDS), **tags("param", WHOLE_NODE)}),
        "Host": members(tags("param", MEMORY)),
    }
)

Charted = Annotated[list[dict[str, Any]], WithJsonSchema({"type": "array", "items": RECORD})]
"""The payload: tagged records, with what is worth a chart marked in its schema."""
