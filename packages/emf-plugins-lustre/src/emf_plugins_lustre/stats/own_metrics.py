"""Metrics about the reading itself: what a scrape cost, how old it is, what it could not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from emf_plugins_lustre.stats.exposition_text import Families, Family, labels_text
from emf_plugins_lustre.stats.losses import Losses

__all__ = ["OWN_FAMILIES", "Cost", "own_families"]


def _own(name: str, kind: str, text: str) -> Family:
    return Family(f"emf_lustre_{name}", "counter" if kind == "counter" else "gauge", text)


OWN_FAMILIES: tuple[Family, ...] = (
    _own("scrape_duration_seconds", "gauge", "Wall-clock time the last reading took."),
    _own("scrape_cpu_seconds", "gauge", "CPU time of this process for the last reading."),
    _own("scrape_age_seconds", "gauge", "Time since the last reading was made."),
    _own("scrape_partial", "gauge", "1 where a command failed or ran out of time."),
    _own("command_seconds", "gauge", "Wall-clock time of each command of the last reading."),
    _own("command_failures_total", "counter", "Commands that failed, by reason."),
    _own("read_bytes", "gauge", "Bytes the last reading took in."),
    _own("read_records", "gauge", "Records the last reading gave."),
    _own("read_jobs", "gauge", "Jobs the last reading saw."),
    _own("read_job_rows", "gauge", "Rows of jobs the last reading kept."),
    _own("left_out", "gauge", "Rows or jobs the last reading left out on request, by reason."),
    _own("lost_lines_total", "counter", "Lines that could not be read, by parameter and reason."),
)


@dataclass
class Cost:
    """What one reading cost and found; zero where nothing was read."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    bytes: int = 0
    records: int = 0
    jobs: int = 0
    job_rows: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    command_seconds: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def own_families(
    cost: Cost,
    *,
    age_seconds: float,
    lost: Mapping[tuple[str, str], int] | Losses,
    failed: Mapping[tuple[str, str], int] | None = None,
) -> Families:
    """Return the families; ``lost`` and ``failed`` are counted over the life of the process."""
    families = Families(OWN_FAMILIES)

    def put(name: str, value: float, **labels: str) -> None:
        families.put(f"emf_lustre_{name}", labels_text(labels), value)

    put("scrape_duration_seconds", round(cost.wall_seconds, 6))
    put("scrape_cpu_seconds", round(cost.cpu_seconds, 6))
    put("scrape_age_seconds", round(age_seconds, 6))
    put("scrape_partial", int(bool(cost.failures)))
    put("read_bytes", cost.bytes)
    put("read_records", cost.records)
    put("read_jobs", cost.jobs)
    put("read_job_rows", cost.job_rows)
    for command, seconds in cost.command_seconds.items():
        put("command_seconds", round(seconds, 6), command=command)
    for reason, number in cost.left_out.items():
        put("left_out", number, reason=reason)
    for (command, reason), number in (failed or {}).items():
        put("command_failures_total", number, command=command, reason=reason)
    counts = lost.counts if isinstance(lost, Losses) else lost
    for (param, reason), number in counts.items():
        put("lost_lines_total", number, param=param, reason=reason)
    return families
