"""Panels of the daemon ``stats``: Lustre targets with throughput and space, mounts, jobs, LNet.

The payload is a list of records, each an object with one tag (``{"Target": {"BytesFree": {…}}}``),
of which some hundred kinds exist. What is no record of a known shape is passed over here, and is
to be seen below, in the value as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from emf_manager.web.figures import NONE, quantity
from emf_manager.web.panels.blocks import (
    Block,
    Cell,
    Chart,
    Curve,
    Facts,
    Head,
    Mark,
    Table,
    Words,
    cut,
    words,
)
from emf_manager.web.panels.host import fullness

__all__ = ["stats"]

Record = tuple[str, str, Mapping[str, Any]]
"""Outer tag, inner tag, and what it says."""
RECORDS: TypeAdapter[list[dict[str, Any]]] = TypeAdapter(list[dict[str, Any]])
MOST_CHARTED = 8
JOB_TAGS = {"JobStatsOst", "JobStatsMdt"}
MOST_JOBS = 50
FINE = {"COMPLETE", "Complete", "Inactive", "INACTIVE"}


@dataclass
class Target:
    """What the records say of one target."""

    name: str
    kind: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    """By inner tag; the last one where a tag is there twice."""
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By operation: how often, and the sum (bytes, or microseconds)."""


def stats(payload: Any) -> tuple[Block, ...]:
    """Return the panels; raises ValidationError where it is none of ours."""
    records = tuple(records_of(RECORDS.validate_python(payload)))
    targets = targets_of(records)
    stored = [one for one in targets if "BytesTotal" in one.values]
    mounts = [one for one in targets if one.kind == "mount"]
    return (
        *health(records),
        *(storage(stored) if stored else ()),
        *(charts(stored)),
        *(client_mounts(mounts) if mounts else ()),
        *imports(records),
        *jobs(records),
        *nids(records),
    )


def records_of(listed: list[dict[str, Any]]) -> Iterator[Record]:
    """Yield the records that have two tags and members."""
    for one in listed:
        for outer, inner in one.items():
            if isinstance(inner, dict):
                for tag, body in inner.items():
                    if isinstance(body, dict):
                        yield outer, tag, body


def targets_of(records: Iterable[Record]) -> list[Target]:
    """Return the targets by name, with all that is said of each."""
    found: dict[str, Target] = {}
    for outer, tag, body in records:
        name = body.get("target")
        if outer != "Target" or not isinstance(name, str) or tag in JOB_TAGS:
            continue
        target = found.setdefault(name, Target(name))
        kind = body.get("kind")
        if tag == "Llite":
            target.kind = "mount"
        elif isinstance(kind, str) and not target.kind:
            target.kind = kind
        listed = body.get("value", body.get("stats"))
        if tag in {"Stats", "Llite"}:
            target.rows.update(rows_of(listed))
        else:
            target.values[tag] = listed
    return [found[name] for name in sorted(found)]


def rows_of(listed: Any) -> Iterator[tuple[str, tuple[int, int]]]:
    for row in listed if isinstance(listed, list) else ():
        if isinstance(row, dict) and isinstance(name := row.get("name"), str):
            samples, total = whole(row.get("samples")), whole(row.get("sum"))
            yield name, (samples or 0, total or 0)


def whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def health(records: Iterable[Record]) -> Iterator[Block]:
    """Yield what holds for the whole node."""
    pairs: list[tuple[str, Cell]] = []
    for outer, tag, body in records:
        if outer != "Host":
            continue
        value = body.get("value")
        if tag == "HealthCheck":
            told = str(value)[:300]
            pairs.insert(0, ("health", Mark(told, "ok" if told == "healthy" else "bad")))
        elif tag == "Memused":
            pairs.append(("memory of Lustre", Words(quantity(whole(value), "bytes"))))
        elif tag == "LNetMemUsed":
            pairs.append(("memory of LNet", Words(quantity(whole(value), "bytes"))))
    if pairs:
        yield Facts("Lustre", tuple(pairs))


def storage(targets: Iterable[Target]) -> Iterator[Block]:
    heads = (
        Head("Target"), Head("Space in use"), Head("Read"), Head("Written"),
        Head("Inodes in use", number=True), Head("Clients", number=True), Head("Recovery"),
        Head("Backend"),
    )  # fmt: skip
    rows, beyond = cut(map(target_row, targets))
    yield Table("Targets", heads, rows, beyond=beyond)


def target_row(one: Target) -> tuple[Cell, ...]:
    size, free = whole(one.values.get("BytesTotal")), whole(one.values.get("BytesFree"))
    space: Cell = Words(NONE) if not size or free is None else fullness(size - free, size)
    clients = whole(one.values.get("ConnectedClients"))
    if clients is None:
        clients = whole(one.values.get("NumExports"))
    return (
        Words(one.name, code=True, title=one.kind),
        space,
        throughput(one, "read_bytes"),
        throughput(one, "write_bytes"),
        Words(inodes(one)),
        words(clients),
        recovery(one),
        words(one.values.get("FsType")),
    )


def throughput(one: Target, operation: str) -> Cell:
    if operation not in one.rows:
        return Words(NONE)
    total = quantity(one.rows[operation][1], "bytes")
    return Curve(f"[{one.name}].stats[{operation}].sum", text=f"{total} so far")


def inodes(one: Target) -> str:
    total, free = whole(one.values.get("FilesTotal")), whole(one.values.get("FilesFree"))
    if not total or free is None:
        return NONE
    return f"{100 * (total - free) / total:.0f} % of {quantity(total)}"


def recovery(one: Target) -> Cell:
    state = one.values.get("RecoveryStatus")
    if not isinstance(state, str):
        return Words(NONE)
    return Mark(state.lower(), "ok" if state in FINE else "warn")


def charts(targets: list[Target]) -> Iterator[Block]:
    """Yield what is worth a large chart."""
    for operation, title in (("read_bytes", "Read"), ("write_bytes", "Written")):
        charted = [one for one in targets if operation in one.rows][:MOST_CHARTED]
        if charted:
            series = tuple((f"[{t.name}].stats[{operation}].sum", t.name) for t in charted)
            yield Chart(title, series)


def client_mounts(targets: Iterable[Target]) -> Iterator[Block]:
    heads = (Head("Mount"), Head("Read"), Head("Written"), Head("Opened", number=True))
    rows, beyond = cut(
        (
            words(one.name, code=True),
            throughput(one, "read_bytes"),
            throughput(one, "write_bytes"),
            Words(quantity(one.rows.get("open", (0, 0))[0])),
        )
        for one in targets
    )
    yield Table("Mounted file systems", heads, rows, beyond=beyond)


def imports(records: Iterable[Record]) -> Iterator[Block]:
    """Yield connections of a client to its servers, those that are not whole first."""
    found: list[tuple[str, str]] = []
    for outer, _, body in records:
        name, value = body.get("controller"), body.get("value")
        if outer == "Controller" and isinstance(name, str) and isinstance(value, dict):
            found.append((name, str(value.get("current_state", NONE))[:60]))
    if found:
        ordered = sorted(set(found), key=lambda one: (one[1] == "FULL", one))
        rows, beyond = cut(
            (words(name, code=True), Mark(state.lower(), "ok" if state == "FULL" else "bad"))
            for name, state in ordered
        )
        yield Table("Connections to servers", (Head("Import"), Head("State")), rows, beyond=beyond)


def jobs(records: Iterable[Record]) -> Iterator[Block]:
    """Yield the jobs of the file system that move most."""
    found: list[tuple[int, tuple[Cell, ...]]] = []
    for _, tag, body in records:
        value = body.get("value")
        if tag not in JOB_TAGS or not isinstance(value, dict):
            continue
        counted = {
            name: (whole(row.get("samples")) or 0, whole(row.get("sum")) or 0)
            for name, row in value.items()
            if isinstance(row, dict)
        }
        read, written = (counted.get(n, (0, 0))[1] for n in ("read_bytes", "write_bytes"))
        operations = sum(samples for samples, _ in counted.values())
        cells: tuple[Cell, ...] = (
            words(str(value.get("job_id", "?"))[:200], code=True),
            words(body.get("target"), code=True),
            Words(quantity(operations)),
            Words(quantity(read, "bytes")),
            Words(quantity(written, "bytes")),
        )
        found.append((read + written or operations, cells))
    if found:
        found.sort(key=lambda one: -one[0])
        rows, beyond = cut((cells for _, cells in found), MOST_JOBS)
        heads = (
            Head("Job"), Head("Target"), Head("Operations", number=True),
            Head("Read", number=True), Head("Written", number=True),
        )  # fmt: skip
        yield Table("Jobs of the file system", heads, rows, beyond=beyond)


def nids(records: Iterable[Record]) -> Iterator[Block]:
    """Yield LNet's interfaces with what they sent, received and dropped."""
    found: dict[str, dict[str, int]] = {}
    for outer, tag, body in records:
        nid, value = body.get("nid"), whole(body.get("value"))
        if outer == "LNetStat" and isinstance(nid, str) and value is not None:
            found.setdefault(nid, {})[tag] = value
    if found:
        heads = (
            Head("NID"), Head("Sent"), Head("Received"), Head("Dropped", number=True),
            Head("Health", number=True),
        )  # fmt: skip
        rows, beyond = cut(nid_row(nid, counted) for nid, counted in sorted(found.items()))
        yield Table("LNet", heads, rows, beyond=beyond)


def nid_row(nid: str, counted: Mapping[str, int]) -> tuple[Cell, ...]:
    dropped, condition = counted.get("DropCount", 0), counted.get("HealthValue")
    lost: Cell = Mark(quantity(dropped), "warn") if dropped else Words("0")
    poor = condition is not None and condition < 1000
    return (
        words(nid, code=True),
        Curve(f"[{nid}].sent", text=quantity(counted.get("SendCount"), "messages")),
        Curve(f"[{nid}].received", text=quantity(counted.get("RecvCount"), "messages")),
        lost,
        Mark(str(condition), "warn") if poor else words(condition),
    )
