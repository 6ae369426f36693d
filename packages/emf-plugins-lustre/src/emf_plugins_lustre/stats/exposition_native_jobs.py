"""Jobs in native mode: latencies, sizes and times, which the field's exporter leaves out."""

from __future__ import annotations

from emf_plugins_lustre.stats.exposition_jobs import JobExposition
from emf_plugins_lustre.stats.exposition_text import escaped
from emf_plugins_lustre.stats.native_families import NATIVE_JOB_FAMILIES, SECONDS_IN, tidy
from emf_plugins_lustre.stats.numbers import scaled
from emf_plugins_lustre.stats.records import Job, Row

__all__ = ["native_jobs"]

_NAMES = [family.name for family in NATIVE_JOB_FAMILIES]
_OPERATIONS, _SECONDS, _SECONDS_MAX, _BYTES, _BYTES_MIN, _BYTES_MAX, _SIZES, _START, _SNAPSHOT = (
    range(len(_NAMES))
)


def native_jobs() -> JobExposition:
    """Return an exposition of jobs in base units."""
    return JobExposition(NATIVE_JOB_FAMILIES, _pieces)


def _pieces(job: Job) -> list[str]:
    pieces = [""] * len(_NAMES)
    place = f'{{job="{escaped(job.job_id)}",kind="{job.kind}",target="{job.target}"'
    for row in job.rows:
        labels = f'{place},operation="{escaped(row.name)}"}}'
        pieces[_OPERATIONS] += f"{_NAMES[_OPERATIONS]}{labels} {row.samples}\n"
        for index, value in _cells(row):
            pieces[index] += f"{_NAMES[index]}{labels} {value}\n"
    for name, buckets in (job.histograms or {}).items():
        for size, times in buckets.items():
            labels = f'{place},operation="{escaped(name)}",bucket="{scaled(size.encode())}"}}'
            pieces[_SIZES] += f"{_NAMES[_SIZES]}{labels} {times}\n"
    for index, time in ((_START, job.start_time), (_SNAPSHOT, job.snapshot_time)):
        if time is not None:
            pieces[index] = f"{_NAMES[index]}{place}}} {time}\n"
    return pieces


def _cells(row: Row) -> list[tuple[int, float]]:
    if row.units in SECONDS_IN:
        factor = SECONDS_IN[row.units]
        found = ((_SECONDS, row.sum), (_SECONDS_MAX, row.max))
        return [(index, tidy(cell * factor)) for index, cell in found if cell is not None]
    if row.units == "bytes":
        cells = ((_BYTES, row.sum), (_BYTES_MIN, row.min), (_BYTES_MAX, row.max))
        return [(index, cell) for index, cell in cells if cell is not None]
    return []
