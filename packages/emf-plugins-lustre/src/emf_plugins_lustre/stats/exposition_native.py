"""Native mode: records as metrics in base units, nothing the field's exporter drops left out.

Names and origins: ``native_families``. Latencies, peers, import states, lags and evictions
are here; the exporter reads most of them and throws them away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from emf_plugins_lustre.stats.exposition_text import Families, labels_text
from emf_plugins_lustre.stats.native_families import (
    HISTOGRAMS,
    NATIVE_FAMILIES,
    PREFIX,
    ROW_SCOPES,
    SCALARS,
    SECONDS_IN,
    Scalar,
    tidy,
)
from emf_plugins_lustre.stats.numbers import scaled
from emf_plugins_lustre.stats.records import (
    Changelog,
    Header,
    Health,
    Histograms,
    QuotaLimits,
    QuotaUsage,
    Record,
    Recovery,
    Row,
    Rows,
    State,
)

__all__ = ["NativeExposition"]

TARGET_KINDS = {"ost", "mdt", "mgt"}
GOOD_STATES = {"FULL", "IDLE"}
SOURCES = {"stats": "obdfilter", "md_stats": "mdt", "osd.stats": "osd", "mgs.stats": "mgs"}
RECOVERY_FIELDS = {
    "completed_clients": "recovery_completed_clients",
    "connected_clients": "recovery_connected_clients",
    "evicted_clients": "recovery_evicted_clients",
    "total_clients": "recovery_total_clients",
    "recovery_duration": "recovery_duration_seconds",
    "time_remaining": "recovery_remaining_seconds",
    "recovery_start": "recovery_start_seconds",
    "replayed_requests": "recovery_replayed_requests",
}
DIRECTIONS = {
    "send_count": "sent",
    "recv_count": "received",
    "drop_count": "dropped",
    "send_length": "sent",
    "recv_length": "received",
    "drop_length": "dropped",
    "route_length": "routed",
    "sent_stats": "sent",
    "received_stats": "received",
    "dropped_stats": "dropped",
}
_SCALARS: Mapping[str, Scalar] = {scalar.param: scalar for scalar in SCALARS}


class NativeExposition:
    """Gathers records; ``families`` holds the text of everything but jobs."""

    def __init__(self) -> None:
        self.families = Families(NATIVE_FAMILIES)
        self._buckets_seen: set[tuple[str, str]] = set()

    def add_all(self, records: Iterable[Record]) -> None:
        """Take every record."""
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Take one record."""
        value = record.value
        if isinstance(value, Rows):
            self._rows(record, value)
        elif isinstance(value, Histograms):
            self._histograms(record, value)
        elif isinstance(value, QuotaLimits):
            self._limits(record, value)
        elif isinstance(value, QuotaUsage):
            self._usage(record, value)
        elif isinstance(value, Recovery):
            self._recovery(record, value)
        elif isinstance(value, Changelog):
            self._changelog(record, value)
        elif isinstance(value, Health):
            self._health(value)
        elif isinstance(value, State):
            self._state(record, value)
        elif record.kind == "lnet":
            self._lnet(record, value)
        elif isinstance(value, str):
            self._text(record, value)
        elif isinstance(value, int) and record.param in _SCALARS:
            self._scalar(record, _SCALARS[record.param], value)

    def _put(self, name: str, labels: Mapping[str, str], value: float) -> None:
        self.families.put(PREFIX + name, labels_text(labels), value)

    def _add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        self.families.add(PREFIX + name, labels_text(labels), value)

    def _scalar(self, record: Record, scalar: Scalar, value: int) -> None:
        number = int(value) * scalar.factor
        self._put(scalar.name, _place(record), tidy(number))

    def _text(self, record: Record, value: str) -> None:
        if record.param == "version":
            self._put("version_info", {"version": value}, 1)
        elif record.param == "fstype":
            self._put("target_info", {**_place(record), "fstype": value}, 1)

    def _health(self, health: Health) -> None:
        self._put("healthy", {}, int(health.healthy))
        for device in health.devices:
            self._put("device_unhealthy", {"device": device}, 1)

    def _rows(self, record: Record, rows: Rows) -> None:
        scope = ROW_SCOPES.get(record.param)
        if scope is None:
            return
        place = _place(record)
        if scope == "target":
            place["source"] = SOURCES[record.param]
        elif scope == "nodemap":
            place["source"] = record.param.partition(".")[2]
        elif scope == "service":
            place["source"] = record.param
        for row in rows.rows:
            self._row(scope, {**place, "operation": row.name}, row)
        start = _start(record.header)
        if start is not None:
            self._put(f"{scope}_counters_start_seconds", place, start)

    def _row(self, scope: str, labels: dict[str, str], row: Row) -> None:
        self._add(f"{scope}_operations_total", labels, row.samples)
        if row.sum is None and row.max is None:
            return
        factor = SECONDS_IN.get(row.units, 1)
        what = "seconds" if row.units in SECONDS_IN else "bytes"
        if row.units not in SECONDS_IN and row.units != "bytes":
            what, labels = "amount", {**labels, "unit": row.units}
        name = f"{scope}_operation_{what}"
        for suffix, cell in (("min", row.min), ("max", row.max)):
            if cell is not None:
                self._put(f"{name}_{suffix}", labels, tidy(cell * factor))
        if row.sum is not None:
            self._add(f"{name}_total", labels, tidy(row.sum * factor))

    def _histograms(self, record: Record, value: Histograms) -> None:
        place = _place(record)
        for section in value.sections:
            name, extra = section.name, {}
            factor_us = 1.0
            if name.startswith("io_time_"):
                size = scaled(name[len("io_time_") :].encode())
                name, extra = "io_time", {"io_bytes": str(size)}
                if record.param == "io_latency_stats":
                    factor_us = 1e-3
            known = HISTOGRAMS.get(name)
            if known is None:
                continue
            family, _, factor = known
            for bucket in section.buckets:
                at = f"{tidy(bucket.size * factor * factor_us)}"
                for verb, times in (("read", bucket.read), ("write", bucket.write)):
                    labels = {**place, **extra, "operation": verb, "bucket": at}
                    key = (family, labels_text(labels))
                    if key not in self._buckets_seen:
                        self._buckets_seen.add(key)
                        self._add(family, labels, times)

    def _limits(self, record: Record, limits: QuotaLimits) -> None:
        in_bytes = record.labels.get("manager", "").endswith("dt")
        unit, factor = ("bytes", 1024) if in_bytes else ("inodes", 1)
        labels = {
            name: record.labels[name]
            for name in ("accounting", "pool", "tenant")
            if name in record.labels
        }
        after = labels_text({**labels, "target": record.target or ""})
        for name, column in (
            ("hard", limits.hard),
            ("soft", limits.soft),
            ("granted", limits.granted),
        ):
            self._column(f"quota_{name}_{unit}", limits.ids, column, (after, factor))

    def _usage(self, record: Record, usage: QuotaUsage) -> None:
        labels = {"accounting": record.labels.get("accounting", ""), "kind": record.kind}
        after = labels_text({**labels, "target": record.target or ""})
        self._column("quota_used_bytes", usage.ids, usage.kbytes, (after, 1024))
        self._column("quota_used_inodes", usage.ids, usage.inodes, (after, 1))

    def _column(
        self, name: str, ids: list[int], cells: list[int | None], suffix: tuple[str, int]
    ) -> None:
        after, factor = suffix
        family = self.families.samples.setdefault(PREFIX + name, {})
        for identity, cell in zip(ids, cells, strict=True):
            if cell is not None:
                family[f'id="{identity}",{after}'] = cell * factor

    def _recovery(self, record: Record, recovery: Recovery) -> None:
        place = _place(record)
        if recovery.status:
            self._put("recovery_status", {**place, "status": recovery.status}, 1)
        for name, number in recovery.fields.items():
            if name in RECOVERY_FIELDS:
                self._put(RECOVERY_FIELDS[name], place, number)

    def _changelog(self, record: Record, changelog: Changelog) -> None:
        place = {"target": record.target or ""}
        self._put("changelog_index", place, changelog.current_index)
        for user in changelog.users:
            labels = {**place, "user": user.user}
            lag = max(0, changelog.current_index - user.index)
            self._put("changelog_user_index", labels, user.index)
            self._put("changelog_user_lag_records", labels, lag)
            if user.idle_seconds is not None:
                self._put("changelog_user_idle_seconds", labels, user.idle_seconds)

    def _state(self, record: Record, state: State) -> None:
        place = {"target": record.target or ""}
        self._put("import_state", {**place, "state": state.current}, 1)
        self._put("import_connected", place, int(state.current in GOOD_STATES))
        evictions = sum(1 for _, past in state.history if past == "EVICTED")
        self._put("import_evictions", place, evictions)

    def _lnet(self, record: Record, value: object) -> None:
        where, _, path = record.param.partition(".")
        group, _, name = path.rpartition(".")
        labels = dict(record.labels)
        if where in {"net", "peer"}:
            self._interface("lnet" if where == "net" else "lnet_peer", (group, name), labels, value)
        elif not isinstance(value, int):
            return
        elif where == "global":
            self._put("lnet_setting", {"setting": name}, value)
        elif name.endswith("_length"):
            direction = DIRECTIONS.get(name, name)
            self._add("lnet_bytes_total", {"direction": direction}, value)
        else:
            self._add("lnet_events_total", {"event": name}, value)

    def _interface(
        self, scope: str, path: tuple[str, str], labels: dict[str, str], value: object
    ) -> None:
        group, name = path
        if isinstance(value, str):
            if scope == "lnet":
                self._put("lnet_up", labels, int(value == "up"))
        elif not isinstance(value, int):
            return
        elif group == "statistics" and name in DIRECTIONS:
            self._add(f"{scope}_messages_total", {**labels, "direction": DIRECTIONS[name]}, value)
        elif group == "health_stats" and name == "health_value":
            self._put(f"{scope}_health", labels, value)
        elif group == "health_stats":
            self._add(f"{scope}_health_events_total", {**labels, "event": name}, value)
        elif scope == "lnet" and group in DIRECTIONS:
            labels |= {"direction": DIRECTIONS[group], "type": name}
            self._add("lnet_messages_by_type_total", labels, value)
        elif scope == "lnet" and group == "tunables":
            self._put("lnet_credits", {**labels, "tunable": name}, value)


def _place(record: Record) -> dict[str, str]:
    place: dict[str, str] = {"kind": record.kind} if record.kind in TARGET_KINDS else {}
    if record.target is not None:
        place["target"] = record.target
    for name in ("nid", "service", "backend"):
        if name in record.labels:
            place[name] = record.labels[name]
    return place


def _start(header: Header | None) -> float | None:
    return None if header is None or header.start_time is None else float(header.start_time)
