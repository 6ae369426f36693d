"""The daemon ``stats``: every ten seconds, all parameters of the node as tagged records.

Order and tags are the ancestor's (records of ``lctl``, LNet, memory, CPU), further parameters
follow under the collector's tags, jobs come last. "Nothing found" is a fault where the node's
role, or its mounts, say that something must be.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

import anyio
import anyio.to_thread

from emf_agent.plugin import Daemon, DaemonFault, NotApplicableError
from emf_plugins_lustre.stats.collect import Reading, Wanted, collect
from emf_plugins_lustre.stats.expectations import unmet_expectations
from emf_plugins_lustre.stats.job_pipeline import JobPipeline
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.node import read_cpu, read_memory
from emf_plugins_lustre.stats.records import Job
from emf_plugins_lustre.stats.series import Charted
from emf_plugins_lustre.stats.settings import StatsSettings
from emf_plugins_lustre.stats.tagged_json import (
    Spelling,
    ancestor_only,
    tagged_jobs,
    tagged_json,
)
from emf_plugins_lustre.stats.trimming import Limits, trimmed

__all__ = ["Stats"]

logger = logging.getLogger(__name__)

Tagged = list[dict[str, Any]]


class Stats(Daemon):
    """Reads the node and returns its records; raises DaemonFault where they cannot be all."""

    name: ClassVar[str] = "stats"
    interval_s: ClassVar[float] = 10.0
    # lctl waits for a lock of each target; a loaded server makes it wait for many seconds. The
    # rest of the agent does not: commands are awaited, parsing is in worker threads.
    deadline_s: ClassVar[float] = 30.0
    start_deadline_s: ClassVar[float] = 30.0

    def __init__(self, settings: StatsSettings | None = None, proc: Path = Path("/proc")) -> None:
        self._settings = settings or StatsSettings()
        self._proc = proc
        self._said: set[tuple[str, str]] = set()

    async def start_session(self) -> Tagged:
        """Return the first reading.

        Raises:
            NotApplicableError: there is no ``lctl`` and nobody expects one.
            DaemonFault: see ``update_session``.

        """
        return await self._read(starting=True)

    async def update_session(self) -> Charted:
        """Return a reading.

        Raises:
            DaemonFault: a target that must be here was not found.

        """
        return await self._read(starting=False)

    async def _read(self, *, starting: bool) -> Tagged:
        settings = self._settings
        jobs: list[Job] = []

        def pipeline(losses: Losses) -> JobPipeline:
            return JobPipeline(
                losses,
                jobs.extend,
                criteria=settings.job.criteria(most=settings.sent_jobs),
                skip_zero_rows=settings.job.skip_zero_rows is not False,
            )

        wants_jobs = settings.jobs and settings.shape == "full"
        reading = await collect(Wanted.of(settings), pipeline if wants_jobs else None)
        self._report(reading.losses)
        mounts = await self._text("self/mounts")
        self._judge(reading, mounts, starting=starting)
        memory, cpu = await self._text("meminfo"), await self._text("stat")
        limits = Limits(settings.sent_exports, settings.sent_quota_ids)

        def tagged() -> Tagged:
            node = [*read_memory(memory), *read_cpu(cpu)]
            records = trimmed([*reading.records, *node], limits)
            found = list(tagged_json(records, Spelling.ANCESTOR))
            return ancestor_only(found) if settings.shape == "ancestor" else found

        payload = await anyio.to_thread.run_sync(tagged, abandon_on_cancel=True)
        return [*payload, *tagged_jobs(jobs)]

    def _judge(self, reading: Reading, mounts: str, *, starting: bool) -> None:
        missing = list(unmet_expectations(reading.records, self._settings.expect, mounts))
        failures = [f"{name}: {why}" for name, why in reading.cost.failures.items()]
        if missing:
            raise DaemonFault("; ".join([*missing, *failures]))
        if not reading.has_lctl:
            if starting:
                raise NotApplicableError("there is no lctl on this node, so it has no Lustre")
            raise DaemonFault("lctl is no longer on this node")
        if failures and not reading.records:
            raise DaemonFault("; ".join(failures))

    def _report(self, losses: Losses) -> None:
        """Log each kind of loss once a session, not once a line."""
        for loss in losses.shown:
            kind = (loss.param, loss.reason)
            if kind not in self._said:
                self._said.add(kind)
                logger.warning("unreadable %s", loss)

    async def _text(self, name: str) -> str:
        try:
            return await anyio.Path(self._proc / name).read_text(errors="replace")
        except OSError:
            return ""
