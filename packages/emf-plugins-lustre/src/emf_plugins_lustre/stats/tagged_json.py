"""Records in the externally tagged JSON of the field's collector, and of the ancestor's daemon.

Shape: "lustre statistics, shape of the reference's JSON". In the ancestor's spelling kinds are
in capitals, capacities in bytes and health is text; managers in the field decode that. What the
collector has no tag for is ``Other`` or ``OtherStats``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

from emf_plugins_lustre.stats.records import (
    Changelog,
    Header,
    Health,
    Histograms,
    Job,
    Names,
    QuotaLimits,
    QuotaUsage,
    Record,
    Recovery,
    Row,
    Rows,
    State,
)

__all__ = ["Spelling", "ancestor_only", "tagged_jobs", "tagged_json"]

Json = dict[str, Any]


class Spelling(Enum):
    """Whose words a tagged record uses."""

    COLLECTOR = "collector"
    ANCESTOR = "ancestor"


HOST = {"memused": "Memused", "memused_max": "MemusedMax", "lnet_memused": "LNetMemUsed"}
TARGET = {
    "filesfree": "FilesFree",
    "filestotal": "FilesTotal",
    "kbytesavail": "KBytesAvail",
    "kbytesfree": "KBytesFree",
    "kbytestotal": "KBytesTotal",
    "fstype": "FsType",
    "num_exports": "NumExports",
    "tot_dirty": "TotDirty",
    "tot_granted": "TotGranted",
    "tot_pending": "TotPending",
    "connected_clients": "ConnectedClients",
    "osp.active": "OspActive",
    "osp.max_create_count": "OspMaxCreateCount",
    **{
        name: "".join(part.capitalize() for part in name.split("_"))
        for name in (
            "contended_locks",
            "contention_seconds",
            "ctime_age_limit",
            "early_lock_cancel",
            "lock_count",
            "lock_timeouts",
            "lock_unused_count",
            "lru_max_age",
            "lru_size",
            "max_nolock_bytes",
            "max_parallel_ast",
            "resource_count",
            "threads_min",
            "threads_max",
            "threads_started",
            "eviction_count",
            "job_cleanup_interval",
        )
    },
}
ANCESTOR_BYTES = {
    "kbytesavail": "BytesAvail",
    "kbytesfree": "BytesFree",
    "kbytestotal": "BytesTotal",
}
RECOVERY_WORDS = {
    "COMPLETE": "Complete",
    "INACTIVE": "Inactive",
    "WAITING": "Waiting",
    "WAITING_FOR_CLIENTS": "WaitingForClients",
    "RECOVERING": "Recovering",
}
RECOVERY_FIELDS = {
    "completed_clients": "RecoveryCompletedClients",
    "connected_clients": "RecoveryConnectedClients",
    "evicted_clients": "RecoveryEvictedClients",
    "recovery_duration": "RecoveryDuration",
    "time_remaining": "RecoveryTimeRemaining",
    "total_clients": "RecoveryTotalClients",
}
LNET = {
    "net.statistics.send_count": "SendCount",
    "net.statistics.recv_count": "RecvCount",
    "net.statistics.drop_count": "DropCount",
    "net.health_stats.health_value": "HealthValue",
    "stats.send_length": "SendLength",
    "stats.recv_length": "RecvLength",
    "stats.drop_length": "DropLength",
    "global.health_sensitivity": "HealthSensitiveValue",
}
STATS = {
    "stats": "stats",
    "md_stats": "md_stats",
    "mgs.stats": "stats",
    "osd.stats": "stats",
    "nodemap.dt_stats": "dt_stats",
    "nodemap.md_stats": "md_stats",
}
LDLM = {"ldlm_canceld": "LdlmCanceld", "ldlm_cbd": "LdlmCbd"}
ACCOUNTING = {"user": "Usr", "group": "Grp", "project": "Prj"}
NODE = {"cpu_total", "cpu_user", "cpu_system", "cpu_iowait"} | {
    "mem_total",
    "mem_free",
    "swap_total",
    "swap_free",
}


def tagged_json(
    records: Iterable[Record], spelling: Spelling = Spelling.COLLECTOR
) -> Iterator[Json]:
    """Yield tagged objects, one for each record, several for a recovery.

    In the ancestor's spelling each gains ``unit`` where the record has one, and parameters
    the collector has no variant for are tagged ``Other``.
    """
    writer = _Tagger(spelling)
    for record in records:
        yield from writer.tagged(record)


def tagged_jobs(jobs: Iterable[Job]) -> Iterator[Json]:
    """Yield jobs under the tags the older collector had: ``JobStatsOst``, ``JobStatsMdt``."""
    for job in jobs:
        body = {
            "job_id": job.job_id,
            "snapshot_time": job.snapshot_time,
            "start_time": job.start_time,
            "elapsed_time": job.elapsed_time,
            **{row.name: _job_row(row) for row in job.rows},
        }
        tag = "JobStatsOst" if job.kind == "ost" else "JobStatsMdt"
        yield {
            "Target": {
                tag: {
                    "kind": job.kind.upper(),
                    "param": "job_stats",
                    "target": job.target,
                    "value": body,
                }
            }
        }


class _Tagger:
    def __init__(self, spelling: Spelling) -> None:
        self._ancestor = spelling is Spelling.ANCESTOR

    def tagged(self, record: Record) -> Iterator[Json]:
        value = record.value
        if record.kind == "host":
            yield from self._host(record)
        elif record.kind == "lnet":
            yield from self._lnet(record)
        elif isinstance(value, Rows):
            yield from self._rows(record, value)
        elif isinstance(value, Recovery):
            yield from self._recovery(record, value)
        elif isinstance(value, QuotaLimits):
            yield {"Target": {"QuotaStats": _limits(record, value)}}
        elif isinstance(value, State):
            yield _state(record, value)
        else:
            yield from self._target(record)

    def _kind(self, record: Record) -> str:
        kind = record.kind
        if kind == "nodemap":
            kind = "ost" if record.param == "nodemap.dt_stats" else "mdt"
        return kind.upper() if self._ancestor else kind.capitalize()

    def _head(self, record: Record, param: str) -> Json:
        return {"kind": self._kind(record), "param": param, "target": record.target}

    def _unit(self, record: Record, units: str | None = None) -> Json:
        units = units or record.units
        return {"unit": units} if self._ancestor and units else {}

    def _host(self, record: Record) -> Iterator[Json]:
        value, param = record.value, record.param
        if isinstance(value, Health):
            shown: Any = {"healthy": value.healthy, "targets": list(value.devices)}
            if self._ancestor:
                devices = [f"device {name} reported unhealthy" for name in value.devices]
                shown = "healthy" if value.healthy else "\n".join([*devices, "NOT HEALTHY"])
            yield {"Host": {"HealthCheck": {"param": param, "value": shown}}}
        elif param in HOST:
            yield {"Host": {HOST[param]: {"param": param, "value": value, **self._unit(record)}}}
        elif param == "left_out":
            body = {"param": record.labels["of"], "value": value, **self._unit(record)}
            yield {"Node": {"LeftOut": body}}
        elif param in NODE:
            tag = "".join(part.capitalize() for part in param.split("_"))
            yield {"Node": {tag: {"param": param, "value": value, **self._unit(record)}}}

    def _lnet(self, record: Record) -> Iterator[Json]:
        tag = LNET.get(record.param)
        if tag is None:
            return
        param = record.param.rpartition(".")[2]
        nid = {"nid": record.labels["nid"]} if "nid" in record.labels else {}
        body = {**nid, "param": param, "value": record.value, **self._unit(record)}
        yield {"LNetStat": {tag: body}}

    def _rows(self, record: Record, value: Rows) -> Iterator[Json]:
        rows = [_row(row) for row in value.rows]
        header = _header(record.header)
        service = record.labels.get("service", "")
        if record.param == "ldlm":
            yield {"LustreService": {LDLM[service]: [header, rows]}}
        elif record.param in {"oss", "mds"}:
            yield {"Target": {record.param.capitalize(): {"param": service, "stats": rows}}}
        elif record.param == "llite.stats":
            body: Json = {"target": record.target, "param": "stats", "stats": rows}
            yield {"Target": {"Llite": {**body, "header": header}}}
        elif record.param == "exports.stats":
            exports = [{"nid": record.labels.get("nid", ""), "stats": rows}]
            yield {"Target": {"ExportStats": {**self._head(record, "exports"), "value": exports}}}
        elif record.param in STATS:
            head = self._head(record, STATS[record.param])
            yield {"Target": {"Stats": {**head, "value": rows, "header": header}}}
        else:
            head = self._head(record, record.param)
            yield {"Target": {"OtherStats": {**head, "value": rows, "header": header}}}

    def _recovery(self, record: Record, value: Recovery) -> Iterator[Json]:
        head = self._head(record, "recovery_status")
        if value.status:
            word = RECOVERY_WORDS.get(value.status, "Unknown")
            yield {"Target": {"RecoveryStatus": {**head, "value": word}}}
        for name, number in value.fields.items():
            if name in RECOVERY_FIELDS:
                units = "seconds" if name in {"recovery_duration", "time_remaining"} else "clients"
                body = {**head, "value": number, **self._unit(record, units)}
                yield {"Target": {RECOVERY_FIELDS[name]: body}}

    def _target(self, record: Record) -> Iterator[Json]:
        value = record.value
        param = record.param.rpartition("osp.")[2]
        tag = TARGET.get(record.param)
        body: Json = self._head(record, param)
        if isinstance(value, Histograms):
            tag = "BrwStats"
            body |= {"value": _histograms(value), "header": _header(record.header)}
        elif isinstance(value, QuotaUsage):
            tag, body["value"] = "QuotaStatsOsd", _usage(record, value)
        elif isinstance(value, Changelog):
            tag, body["value"] = "Changelog", _changelog(value)
        elif isinstance(value, Names):
            tag, body["value"] = "FsNames", list(value.names)
        elif self._ancestor and param in ANCESTOR_BYTES and isinstance(value, int):
            tag = ANCESTOR_BYTES[param]
            body |= {"value": value * 1024, "unit": "bytes"}
        else:
            body |= {"value": value, **self._unit(record)}
        yield {"Target": {tag or "Other": body}}


def _row(row: Row) -> Json:
    return {
        "name": row.name,
        "units": row.units,
        "samples": row.samples,
        "min": row.min,
        "max": row.max,
        "sum": row.sum,
        "sumsquare": row.sumsq,
    }


def _job_row(row: Row) -> Json:
    return {
        "samples": row.samples,
        "unit": row.units,
        "min": row.min,
        "max": row.max,
        "sum": row.sum,
        "sumsq": row.sumsq,
    }


def _header(header: Header | None) -> Json | None:
    if header is None:
        return None
    return {
        "snapshot_time": _halves(header.snapshot_time),
        "start_time": _halves(header.start_time),
    }


def _halves(time: str | None) -> str | None:
    """Both halves as integers, so that ``1.012`` prints as ``1.12``: the collector's way."""
    if time is None:
        return None
    return re.sub(r"\d+", lambda digits: str(int(digits[0])), time)


def _histograms(value: Histograms) -> list[Json]:
    return [
        {
            "name": section.name,
            "unit": section.unit,
            "buckets": [
                {"name": b.size, "read": b.read, "write": b.write} for b in section.buckets
            ],
        }
        for section in value.sections
    ]


def _limits(record: Record, value: QuotaLimits) -> Json:
    columns = zip(value.ids, value.hard, value.soft, value.granted, value.time, strict=True)
    return {
        "pool": record.labels.get("pool", ""),
        "tenant": record.labels.get("tenant"),
        "manager": record.labels.get("manager"),
        "param": record.param.rpartition("-")[2],
        "target": record.target,
        "value": {
            "kind": ACCOUNTING[record.labels["accounting"]],
            "stats": [
                {"id": i, "limits": {"hard": h, "soft": s, "granted": g, "time": t}}
                for i, h, s, g, t in columns
            ],
        },
    }


def _usage(record: Record, value: QuotaUsage) -> Json:
    columns = zip(value.ids, value.inodes, value.kbytes, strict=True)
    return {
        "kind": ACCOUNTING[record.labels["accounting"]],
        "stats": [{"id": i, "usage": {"inodes": n, "kbytes": k}} for i, n, k in columns],
    }


def _changelog(value: Changelog) -> Json:
    return {
        "current_index": value.current_index,
        "users": [
            {"user": user.user, "index": user.index, "idle_secs": user.idle_seconds}
            for user in value.users
        ],
    }


def _state(record: Record, value: State) -> Json:
    return {
        "Controller": {
            "OscState": {
                "kind": "Osc",
                "param": record.param,
                "controller": record.target,
                "value": {"current_state": value.current},
            }
        }
    }


def ancestor_only(items: Iterable[Json]) -> list[Json]:
    """Return what the ancestor's library (0.2.16) decodes, without what later ones added."""
    kept: list[Json] = []
    for item in items:
        ((group, tagged),) = item.items()
        ((tag, body),) = tagged.items()
        if tag in _ANCESTOR_TAGS.get(group, ()) and body.get("param") in _ANCESTOR_PARAMS.get(
            tag, {body.get("param")}
        ):
            shown = {name: value for name, value in body.items() if name not in {"unit", "header"}}
            kept.append({group: {tag: shown}})
    return kept


_ANCESTOR_PARAMS = {"Stats": {"stats", "md_stats"}, "BrwStats": {"brw_stats"}}
_ANCESTOR_TAGS: dict[str, frozenset[str]] = {
    "Host": frozenset({*HOST.values(), "HealthCheck"}),
    "Node": frozenset(
        {
            "CpuTotal",
            "CpuUser",
            "CpuSystem",
            "CpuIowait",
            "MemTotal",
            "MemFree",
            "SwapTotal",
            "SwapFree",
        }
    ),
    "LNetStat": frozenset({"SendCount", "RecvCount", "DropCount"}),
    "Target": frozenset(
        {
            *ANCESTOR_BYTES.values(),
            *TARGET.values(),
            "Stats",
            "BrwStats",
        }
    )
    - {
        "KBytesAvail",
        "KBytesFree",
        "KBytesTotal",
        "OspActive",
        "OspMaxCreateCount",
        "EvictionCount",
        "JobCleanupInterval",
    },
}
