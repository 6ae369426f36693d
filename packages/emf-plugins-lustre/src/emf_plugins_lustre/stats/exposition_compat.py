"""Compatible mode: records as the metrics of the field's exporter, label for label.

Facts and quirks: "lustre statistics, metrics of the reference exporter". Where the reference
would refuse the whole scrape, this leaves out one cell; where it serves broken text (a bare
backslash in a label), this escapes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from emf_plugins_lustre.stats.compat_families import (
    COMPAT_FAMILIES,
    MDS_SERVICES,
    OSS_SERVICES,
)
from emf_plugins_lustre.stats.exposition_text import Families, labels_text
from emf_plugins_lustre.stats.records import (
    Changelog,
    Header,
    Health,
    Histograms,
    QuotaLimits,
    QuotaUsage,
    Record,
    Recovery,
    Rows,
)

__all__ = ["CompatExposition"]

RECOVERY_NUMBERS = {
    "COMPLETE": 0,
    "INACTIVE": 1,
    "WAITING": 2,
    "WAITING_FOR_CLIENTS": 3,
    "RECOVERING": 4,
}
RECOVERY_UNKNOWN = 5
RECOVERY_FIELDS = {
    "completed_clients": "recovery_status_completed_clients",
    "connected_clients": "recovery_status_connected_clients",
    "evicted_clients": "recovery_status_evicted_clients",
    "total_clients": "recovery_status_total_clients",
    "recovery_duration": "recovery_status_duration_seconds",
    "time_remaining": "recovery_status_time_remaining_seconds",
}
HISTOGRAMS = {
    "disk_iosize": "lustre_disk_io_total",
    "rpc_hist": "lustre_disk_io",
    "pages": "lustre_pages_per_bulk_rw_total",
    "discont_pages": "lustre_discontiguous_pages_total",
    "discont_blocks": "lustre_discontiguous_blocks_total",
    "dio_frags": "lustre_dio_frags",
    "io_time": "lustre_io_time_milliseconds_total",
    "block_maps_msec": "lustre_block_maps_milliseconds_total",
}
SIZES = {"read_bytes": "read", "write_bytes": "write"}
CACHE_ROWS = {"get_page", "cache_access", "cache_hit", "cache_miss", "many_credits"}
HOST_VALUES = {
    "memused": "lustre_mem_used",
    "memused_max": "lustre_mem_used_max",
    "lnet_memused": "lustre_lnet_mem_used",
}
TARGET_GAUGES = {
    "filesfree": "lustre_inodes_free",
    "filestotal": "lustre_inodes_maximum",
    "kbytesavail": "lustre_available_kilobytes",
    "kbytesfree": "lustre_free_kilobytes",
    "kbytestotal": "lustre_capacity_kilobytes",
    "num_exports": "lustre_exports_total",
    "tot_dirty": "lustre_exports_dirty_total",
    "tot_granted": "lustre_exports_granted_total",
    "tot_pending": "lustre_exports_pending_total",
    "contended_locks": "lustre_lock_contended_total",
    "contention_seconds": "lustre_lock_contention_seconds_total",
    "lock_count": "lustre_lock_count_total",
    "osp.active": "lustre_osp_active",
    "osp.max_create_count": "lustre_osp_max_create_count",
}
LNET_COUNTERS = {
    "net.statistics.send_count": "lustre_send_count_total",
    "net.statistics.recv_count": "lustre_receive_count_total",
    "net.statistics.drop_count": "lustre_drop_count_total",
    "stats.send_length": "lustre_send_bytes_total",
    "stats.recv_length": "lustre_receive_bytes_total",
    "stats.drop_length": "lustre_drop_bytes_total",
}
LNET_GAUGES = {
    "net.health_stats.health_value": "lustre_health_value",
    "global.health_sensitivity": "lustre_health_sensitivity",
}
TARGET_ROWS = {
    "stats",
    "md_stats",
    "mgs.stats",
    "osd.stats",
    "nodemap.dt_stats",
    "nodemap.md_stats",
}


class CompatExposition:
    """Gathers records; ``families`` holds the text of everything but jobs."""

    def __init__(self) -> None:
        self.families = Families(COMPAT_FAMILIES)
        self._buckets_seen: set[tuple[str, str]] = set()

    def add_all(self, records: Iterable[Record]) -> None:
        """Take every record."""
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Take one record; what the reference reads and does not expose is passed over."""
        value = record.value
        if isinstance(value, Rows):
            take = _ROWS.get(record.param, CompatExposition._target_rows)
            take(self, record, value)
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
        elif isinstance(value, int):
            self._number(record, int(value))

    def _number(self, record: Record, value: int) -> None:
        put = self.families.put
        if record.kind == "host":
            name = HOST_VALUES.get(record.param)
            if name is not None:
                put(name, "", value)
        elif record.kind == "lnet":
            nid = {"nid": record.labels["nid"]} if "nid" in record.labels else {}
            if record.param in LNET_COUNTERS:
                self.families.add(LNET_COUNTERS[record.param], labels_text(nid), value)
            elif record.param in LNET_GAUGES:
                put(LNET_GAUGES[record.param], labels_text(nid), value)
        elif record.param == "lock_timeouts":
            self.families.add("lustre_lock_timeout_total", _component(record), value)
        elif record.param == "connected_clients":
            if record.kind == "mdt":  # the reference reads the clients of MDTs alone
                put("lustre_connected_clients", _component(record), value)
        elif record.param in TARGET_GAUGES:
            put(TARGET_GAUGES[record.param], _component(record), value)

    def _health(self, health: Health) -> None:
        self.families.put("lustre_health_healthy", "", int(health.healthy))
        for device in health.devices:
            self.families.put("lustre_health_healthy", labels_text({"target": device}), 0)

    def _target_rows(self, record: Record, rows: Rows) -> None:
        if record.param not in TARGET_ROWS:
            return
        component = record.kind
        if component == "nodemap":
            component = "ost" if record.param == "nodemap.dt_stats" else "mdt"
        target = record.target or ""
        start = _start_time(record.header)
        if start is not None:
            labels = labels_text({"component": component, "target": target})
            self.families.put("lustre_stats_start_time", labels, start)
        if component == "ost":
            self._ost_rows(rows, target)
        elif component == "mdt":
            self._mdt_rows(rows, target)

    def _ost_rows(self, rows: Rows, target: str) -> None:
        add = self.families.add
        for row in rows.rows:
            verb = SIZES.get(row.name)
            if verb is not None:
                labels = labels_text({"component": "ost", "operation": verb, "target": target})
                add(f"lustre_{verb}_samples_total", labels, row.samples)
                if row.min is not None:
                    self.families.put(f"lustre_{verb}_minimum_size_bytes", labels, row.min)
                if row.max is not None:
                    add(f"lustre_{verb}_maximum_size_bytes", labels, row.max)
                if row.sum is not None:
                    add(f"lustre_{verb}_bytes_total", labels, row.sum)
            elif row.name in CACHE_ROWS:
                labels = labels_text({"component": "ost", "operation": row.name, "target": target})
                add(f"lustre_{row.name}_total", labels, row.samples)

    def _mdt_rows(self, rows: Rows, target: str) -> None:
        add = self.families.add
        for row in rows.rows:
            labels = labels_text({"component": "mdt", "operation": row.name, "target": target})
            add("lustre_stats_total", labels, row.samples)
            for name, cell in (("min", row.min), ("max", row.max), ("total", row.sum)):
                if cell is not None:
                    add(f"lustre_stats_time_{name}", labels, cell)

    def _export_rows(self, record: Record, rows: Rows) -> None:
        add = self.families.add
        place = {"nid": record.labels.get("nid", ""), "target": record.target or ""}
        for row in rows.rows:
            labels = labels_text(
                {"component": record.kind, "name": row.name, **place, "units": row.units}
            )
            add("lustre_client_export_stats", labels, row.samples)
            if row.sum is not None and row.units == "usecs":
                add("lustre_client_export_milliseconds_total", labels, row.sum)
            elif row.sum is not None and row.units == "bytes":
                add("lustre_client_export_bytes_total", labels, row.sum)

    def _service_rows(self, record: Record, rows: Rows) -> None:
        service = record.labels.get("service", "")
        if service not in OSS_SERVICES and service not in MDS_SERVICES:
            return
        for row in rows.rows:
            labels = labels_text({"operation": row.name, "units": row.units})
            self.families.put(f"lustre_{record.param}_{service}_stats", labels, row.samples)

    def _ldlm_rows(self, record: Record, rows: Rows) -> None:
        name = f"lustre_{record.labels.get('service', '')}_stats"
        for row in rows.rows:
            self.families.add(name, labels_text({"operation": row.name}), row.samples)
        start = _start_time(record.header)
        if start is not None:
            self.families.put(f"{name}_start_time", "", start)

    def _client_rows(self, record: Record, rows: Rows) -> None:
        target = record.target or ""
        for row in rows.rows:
            labels = labels_text({"operation": row.name, "target": target})
            self.families.add("lustre_client_stats", labels, row.samples)
        start = _start_time(record.header)
        if start is not None:
            labels = labels_text({"target": target})
            self.families.put("lustre_client_stats_start_time", labels, start)

    def _histograms(self, record: Record, value: Histograms) -> None:
        if record.param not in {"brw_stats", "io_latency_stats"}:
            return
        target = record.target or ""
        for section in value.sections:
            name, opsize = section.name, {}
            if name.startswith("io_time_"):
                name, opsize = "io_time", {"opsize": section.name[len("io_time_") :]}
            family = HISTOGRAMS.get(name)
            if family is None:
                continue
            for bucket in section.buckets:
                for verb, times in (("read", bucket.read), ("write", bucket.write)):
                    labels = labels_text(
                        {
                            "component": record.kind,
                            "operation": verb,
                            **opsize,
                            "size": str(bucket.size),
                            "target": target,
                        }
                    )
                    if (family, labels) not in self._buckets_seen:
                        self._buckets_seen.add((family, labels))
                        self.families.add(family, labels, times)
        start = _start_time(record.header)
        if start is not None:
            self.families.put("lustre_brw_stats_start_time", _component(record), start)

    def _limits(self, record: Record, limits: QuotaLimits) -> None:
        place = record.labels
        accounting, manager = _pair(place, "accounting"), _pair(place, "manager")
        target = labels_text({"target": record.target or ""})
        if "tenant" in place:
            prefix, middle = "lustre_lqa_quota_", _pair(place, "tenant")
        else:
            pool = place.get("pool", "")
            prefix, middle = "lustre_quota_", labels_text({"pool": "" if pool == "0x0" else pool})
        after = f'",{manager},{middle},{target}'
        for name, column in (
            ("hard", limits.hard),
            ("soft", limits.soft),
            ("granted", limits.granted),
        ):
            family = self.families.samples.setdefault(prefix + name, {})
            for identity, cell in zip(limits.ids, column, strict=True):
                if cell is not None:
                    family[f'{accounting},id="{identity}{after}'] = cell

    def _usage(self, record: Record, usage: QuotaUsage) -> None:
        before = labels_text(
            {"accounting": record.labels.get("accounting", ""), "component": record.kind}
        )
        after = labels_text({"target": record.target or ""})
        for name, column in (
            ("lustre_quota_used_kbytes", usage.kbytes),
            ("lustre_quota_used_inodes", usage.inodes),
        ):
            family = self.families.samples.setdefault(name, {})
            for identity, cell in zip(usage.ids, column, strict=True):
                if cell is not None:
                    family[f'{before},id="{identity}",{after}'] = cell

    def _recovery(self, record: Record, recovery: Recovery) -> None:
        labels = labels_text({"kind": record.kind.upper(), "target": record.target or ""})
        if recovery.status:
            number = RECOVERY_NUMBERS.get(recovery.status, RECOVERY_UNKNOWN)
            self.families.put("recovery_status", labels, number)
        for name, number in recovery.fields.items():
            if name in RECOVERY_FIELDS:
                self.families.put(RECOVERY_FIELDS[name], labels, number)

    def _changelog(self, record: Record, changelog: Changelog) -> None:
        put = self.families.put
        target = {"target": record.target or ""}
        put("lustre_changelog_current_index", labels_text(target), changelog.current_index)
        for user in changelog.users:
            labels = labels_text({**target, "user": user.user})
            put("lustre_changelog_user_index", labels, user.index)
            if user.idle_seconds is not None:
                labels = labels_text({"user": user.user})
                put("lustre_changelog_user_idle_sec", labels, user.idle_seconds)


_ROWS: dict[str, Callable[[CompatExposition, Record, Rows], None]] = {
    "exports.stats": CompatExposition._export_rows,
    "oss": CompatExposition._service_rows,
    "mds": CompatExposition._service_rows,
    "ldlm": CompatExposition._ldlm_rows,
    "llite.stats": CompatExposition._client_rows,
}


def _pair(labels: Mapping[str, str], name: str) -> str:
    return labels_text({name: labels.get(name, "")})


def _component(record: Record) -> str:
    return labels_text({"component": record.kind, "target": record.target or ""})


def _start_time(header: Header | None) -> int | None:
    if header is None or header.start_time is None:
        return None
    return int(header.start_time.partition(".")[0])
