"""A whole output of ``lctl get_param`` as records: one bad line costs that line, no more.

Clients, health verdicts and file-system names are spread over several keys; their records
come when the last of them has been seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from emf_plugins_lustre.stats import histograms, quotas, small_blocks
from emf_plugins_lustre.stats.framing import Entry, entries
from emf_plugins_lustre.stats.lines import numbered_lines
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.numbers import count
from emf_plugins_lustre.stats.parameters import Match, Shape, find
from emf_plugins_lustre.stats.records import Header, Health, Kind, Names, Record, Value
from emf_plugins_lustre.stats.stats_block import read_rows
from emf_plugins_lustre.stats.targets import kind_of

__all__ = ["read_dump"]

UNKNOWN = "unknown"
NOT_FILE_SYSTEMS = {"params", "nodemap"}
Lines = Iterable[tuple[int, bytes]]

_WITH_HEADER: dict[Shape, Callable[[Lines, Losses, str], tuple[Value, Header | None]]] = {
    Shape.ROWS: read_rows,
    Shape.BRW: histograms.read_brw_stats,
    Shape.LATENCY: histograms.read_io_latency,
}
_PLAIN: dict[Shape, Callable[[Lines, Losses, str], Value | None]] = {
    Shape.LIMITS: quotas.read_limits,
    Shape.USAGE: quotas.read_usage,
    Shape.RECOVERY: small_blocks.read_recovery,
    Shape.CHANGELOG: small_blocks.read_changelog,
    Shape.STATE: small_blocks.read_state,
}


def read_dump(
    chunks: Iterable[bytes],
    losses: Losses,
    job_lines: Callable[[bytes], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Record]:
    """Yield the records of an output, in its order.

    ``job_lines`` is handed the text of any ``job_stats`` in between (its lines are otherwise
    counted as left out). ``stop`` is asked between entries; once true, reading ends.
    """

    def too_long(line: int, start: bytes) -> None:
        losses.note(UNKNOWN, line, "line too long", start)

    reader = _DumpReader(losses, job_lines)
    for entry in entries(numbered_lines(chunks, too_long), losses):
        if stop():
            return
        yield from reader.read(entry)
    yield from reader.end()


class _DumpReader:
    def __init__(self, losses: Losses, job_lines: Callable[[bytes], None] | None) -> None:
        self._losses = losses
        self._job_lines = job_lines
        self._health: Health | None = None
        self._clients: dict[tuple[str, Kind], set[str]] = {}
        self._fsnames: dict[str, list[str]] = {}

    def read(self, entry: Entry) -> Iterator[Record]:
        match = find(entry.key)
        shape = match.parameter.shape if match is not None else None
        if self._health is not None and shape is not Shape.HEALTH:
            yield from self._health_done()
        if self._clients and shape is not Shape.UUIDS:
            yield from self._clients_done()
        if match is None:
            self._losses.note(UNKNOWN, entry.line, "unknown parameter", entry.key.encode())
        elif shape is Shape.HEALTH:
            self._read_health(entry, match)
        elif shape is Shape.JOBS:
            self._pass_on(entry)
        elif shape is Shape.FSNAME:
            self._fsnames.setdefault(match.parts["target"], []).append(match.parts["fsname"])
        else:
            yield from self._one(entry, match)

    def end(self) -> Iterator[Record]:
        """Yield what was spread over several keys and is now known to be complete."""
        yield from self._health_done()
        yield from self._clients_done()
        for target, names in self._fsnames.items():
            known = tuple(dict.fromkeys(n for n in names if n not in NOT_FILE_SYSTEMS))
            yield Record("mgt", target, "fsnames", Names(known))

    def _one(self, entry: Entry, match: Match) -> Iterator[Record]:
        parameter, parts = match
        tree = entry.key.partition(".")[0]
        target = parts.pop("target", None)
        kind = parameter.kind or kind_of(target or "", tree)
        if kind is None:
            self._losses.note(parameter.param, entry.line, "unknown target", entry.key.encode())
            return
        if parameter.shape is Shape.UUIDS:
            uuids = small_blocks.read_uuids(entry)
            clients = filter(small_blocks.is_client_uuid, uuids)
            self._clients.setdefault((target or "", kind), set()).update(clients)
            return
        value, header = self._value(entry, match)
        if value is not None:
            labels = _labels(match, parts)
            yield Record(kind, target, parameter.param, value, parameter.units, labels, header)

    def _value(self, entry: Entry, match: Match) -> tuple[Value | None, Header | None]:
        shape, param = match.parameter.shape, match.parameter.param
        if shape in _WITH_HEADER:
            return _WITH_HEADER[shape](entry, self._losses, param)
        if shape in _PLAIN:
            return _PLAIN[shape](entry, self._losses, param), None
        text = entry.value()
        if shape is Shape.TEXT:
            return text.decode("utf-8", "replace"), None
        number = count(text)
        if number is None and param in {"memused", "lnet_memused"} and count(text[1:]) is not None:
            number = 0  # a 32-bit counter that wrapped below zero
        if number is None:
            self._losses.note(param, entry.line, "not a number", text)
            return None, None
        return (number != 0 if param == "osp.active" else number), None

    def _read_health(self, entry: Entry, match: Match) -> None:
        seen = small_blocks.read_health(entry, self._losses, match.parameter.param)
        if seen is not None:
            before = self._health or Health(healthy=True)
            devices = dict.fromkeys((*before.devices, *seen.devices))
            self._health = Health(before.healthy and seen.healthy, tuple(devices))

    def _health_done(self) -> Iterator[Record]:
        if self._health is not None:
            yield Record("host", None, "health_check", self._health)
            self._health = None

    def _clients_done(self) -> Iterator[Record]:
        for (target, kind), uuids in sorted(self._clients.items()):
            yield Record(kind, target, "connected_clients", len(uuids), "count")
        self._clients = {}

    def _pass_on(self, entry: Entry) -> None:
        lines = [entry.key.encode() + b"="]
        for number, line in entry:
            if self._job_lines is None:
                self._losses.note("job_stats", number, "job statistics not asked for", line)
                return
            lines.append(line)
            if len(lines) > 1024:
                self._job_lines(b"\n".join(lines) + b"\n")
                lines = []
        if self._job_lines is not None:
            self._job_lines(b"\n".join(lines) + b"\n")


def _labels(match: Match, parts: dict[str, str]) -> dict[str, str]:
    labels = {name: text for name, text in parts.items() if name not in {"role", "fsname"}}
    labels.update(match.parameter.labels)
    if labels.get("manager", "").startswith("lqa-"):
        labels["tenant"] = labels.pop("pool")
    return labels
