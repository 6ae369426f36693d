"""Which jobs go on: filters by id and by work done, and the busiest N of each target.

A hundred thousand jobs must not flood the manager or Prometheus; what is left out is counted.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from emf_plugins_lustre.stats.records import Job

__all__ = ["JobCriteria", "JobSelection", "Rank"]

Rank = Literal["operations", "bytes", "time"]


@dataclass(frozen=True, slots=True)
class JobCriteria:
    """What a job must be to go on; the default lets every job pass.

    ``include`` and ``exclude`` are searched for in the decoded id. ``top`` keeps the busiest
    jobs of each target, by ``rank``: operations, bytes moved, or time spent in them.
    """

    include: re.Pattern[str] | None = None
    exclude: re.Pattern[str] | None = None
    least_operations: int = 0
    top: int | None = None
    rank: Rank = "operations"

    def admits(self, job: Job) -> bool:
        """Tell whether a job passes the filters (``top`` not considered)."""
        if self.include is not None or self.exclude is not None:
            job_id = job.job_id
            if self.include is not None and self.include.search(job_id) is None:
                return False
            if self.exclude is not None and self.exclude.search(job_id) is not None:
                return False
        return self.least_operations <= 0 or _operations(job) >= self.least_operations


class JobSelection:
    """Applies criteria to a stream of jobs; holds at most ``top`` jobs at a time."""

    def __init__(self, criteria: JobCriteria) -> None:
        self.filtered = 0
        self.beyond_top = 0
        self._criteria = criteria
        self._weigh = _WEIGHTS[criteria.rank]
        self._target: tuple[str, str] | None = None
        self._heap: list[tuple[int, int, Job]] = []
        self._serial = 0

    def feed(self, jobs: Iterable[Job]) -> list[Job]:
        """Return the jobs that are certain to go on after these."""
        passed: list[Job] = []
        for job in jobs:
            if not self._criteria.admits(job):
                self.filtered += 1
            elif self._criteria.top is None:
                passed.append(job)
            else:
                if (job.kind, job.target) != self._target:
                    passed += self.close()
                    self._target = (job.kind, job.target)
                self._offer(job, self._criteria.top)
        return passed

    def close(self) -> list[Job]:
        """Return the busiest jobs of the last target, the busiest first."""
        chosen = [job for _, _, job in sorted(self._heap, key=lambda item: (-item[0], -item[1]))]
        self._heap = []
        return chosen

    def _offer(self, job: Job, top: int) -> None:
        self._serial -= 1  # of two equals, the first stays
        item = (self._weigh(job), self._serial, job)
        if len(self._heap) < top:
            heapq.heappush(self._heap, item)
            return
        self.beyond_top += 1
        if self._heap and item > self._heap[0]:
            heapq.heapreplace(self._heap, item)


def _operations(job: Job) -> int:
    return sum([row.samples for row in job.rows])


def _bytes(job: Job) -> int:
    return sum([row.sum or 0 for row in job.rows if row.units == "bytes"])


def _time(job: Job) -> int:
    return sum([row.sum or 0 for row in job.rows if row.units in {"usec", "usecs"}])


_WEIGHTS: dict[Rank, Callable[[Job], int]] = {
    "operations": _operations,
    "bytes": _bytes,
    "time": _time,
}
