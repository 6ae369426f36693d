"""Records and jobs as JSON in our own shape: kind, target, param, value, units, labels, times."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from emf_plugins_lustre.stats.records import (
    Changelog,
    Health,
    Histograms,
    Job,
    Names,
    QuotaLimits,
    QuotaUsage,
    Record,
    Recovery,
    Rows,
    State,
)

__all__ = ["job_json", "record_json"]

Json = dict[str, Any]


def record_json(record: Record) -> Json:
    """Return our own shape: kind, target, param, value, units, labels, times."""
    value = record.value
    shown: Any = value
    if isinstance(value, Rows):
        shown = [row._asdict() for row in value.rows]
    elif isinstance(value, Histograms):
        shown = {
            "sections": [
                {**asdict(s), "buckets": [b._asdict() for b in s.buckets]} for s in value.sections
            ],
            "gauges": dict(value.gauges),
        }
    elif isinstance(value, Names):
        shown = list(value.names)
    elif not isinstance(value, (bool, int, str)):
        shown = asdict(value)
    return {
        "kind": record.kind,
        "target": record.target,
        "param": record.param,
        "type": _TYPES.get(type(value), "scalar"),
        "value": shown,
        "units": record.units,
        "labels": dict(record.labels),
        "header": asdict(record.header) if record.header is not None else None,
    }


def job_json(job: Job) -> Json:
    """Return a job in our own shape, beside the records: ``param`` is ``job_stats``."""
    return {
        "kind": job.kind,
        "target": job.target,
        "param": "job_stats",
        "type": "job",
        "value": {
            "job_id": job.job_id,
            "job_id_raw": job.job_id_raw,
            "operations": [row._asdict() for row in job.rows],
            "histograms": job.histograms or {},
        },
        "units": None,
        "labels": {},
        "header": {
            "snapshot_time": job.snapshot_time,
            "start_time": job.start_time,
            "elapsed_time": job.elapsed_time,
        },
    }


_TYPES: dict[type, str] = {
    Rows: "rows",
    Histograms: "histograms",
    QuotaLimits: "quota_limits",
    QuotaUsage: "quota_usage",
    Changelog: "changelog",
    Health: "health",
    Recovery: "recovery",
    State: "state",
    Names: "names",
}
