"""From bytes of ``job_stats`` to chosen jobs in somebody's hands: reader and selection joined."""

from __future__ import annotations

from collections.abc import Callable

from emf_plugins_lustre.stats.job_reader import JobReader
from emf_plugins_lustre.stats.job_selection import JobCriteria, JobSelection
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.own_metrics import Cost
from emf_plugins_lustre.stats.records import Job

__all__ = ["JobPipeline"]


class JobPipeline:
    """Feed it chunks, close it once; ``take`` gets the jobs that criteria let pass."""

    def __init__(
        self,
        losses: Losses,
        take: Callable[[list[Job]], None],
        *,
        criteria: JobCriteria | None = None,
        skip_zero_rows: bool = False,
    ) -> None:
        self.losses = losses
        self._reader = JobReader(losses, skip_zero_rows=skip_zero_rows)
        self._selection = JobSelection(criteria or JobCriteria())
        self._take = take

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; a call costs some milliseconds for each 100 KB."""
        jobs = self._selection.feed(self._reader.feed(chunk))
        if jobs:
            self._take(jobs)

    def close(self) -> None:
        """Take the end of the output."""
        self._take([*self._selection.feed(self._reader.close()), *self._selection.close()])

    def account(self, cost: Cost) -> None:
        """Add what was read and left out to a reading's cost."""
        counts = self._reader.counts
        cost.bytes += counts.bytes
        cost.jobs += counts.jobs
        cost.job_rows += counts.rows
        for reason, number in (
            ("zero_rows", counts.zero_rows),
            ("filtered_jobs", self._selection.filtered),
            ("jobs_beyond_top", self._selection.beyond_top),
        ):
            cost.left_out[reason] = cost.left_out.get(reason, 0) + number
