"""What the manager counts of its fleet and of itself, gathered when it is asked for.

Nothing here is on the way of a message: where something is counted, it is one addition. Labels are
bounded; no job, user or node is one.
"""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version

from emf_manager.alert_book import AlertBook
from emf_manager.engine import Engine
from emf_manager.exposition import Family, at_most
from emf_manager.history.book import HistoryBook
from emf_manager.portraits import SHOWN_AS, session_state
from emf_manager.store.sql import SqlStore

__all__ = ["FleetMetrics"]

DAEMONS = 100
ROLES = 50


class FleetMetrics:
    """Gathers everything from where it is known."""

    def __init__(
        self, engine: Engine, store: SqlStore, alerts: AlertBook, history: HistoryBook
    ) -> None:
        self._engine = engine
        self._store = store
        self._alerts = alerts
        self._history = history
        self._started = time.time()

    async def families(self) -> tuple[Family, ...]:
        """Return every metric as it is now.

        Raises:
            StoreError: the store does not say how many jobs there are.

        """
        jobs = await self._store.job_states()
        return (*self._own(), *self._fleet(), *self._work(jobs), *self._kept())

    def _own(self) -> tuple[Family, ...]:
        build = (version("emf-manager"), platform.python_version())
        return (
            Family(
                "emf_manager_build_info",
                "gauge",
                "Version of the manager and of Python.",
                ("version", "python"),
                ((build, 1),),
            ),
            Family.one(
                "emf_manager_start_time_seconds",
                "gauge",
                "When this process began to serve, since the epoch.",
                self._started,
            ),
        )

    def _fleet(self) -> tuple[Family, ...]:
        nodes: Counter[tuple[str, ...]] = Counter()
        sessions: Counter[tuple[str, ...]] = Counter()
        for desk in self._engine.seats.desks():
            nodes[desk.node.role or "none", SHOWN_AS[desk.node.state]] += 1
            for daemon, session in desk.host.sessions.items():
                sessions[daemon, session_state(session)] += 1
        return (
            Family(
                "emf_manager_nodes",
                "gauge",
                "Enrolled nodes.",
                ("role", "state"),
                at_most(nodes, ROLES),
            ),
            Family(
                "emf_manager_sessions",
                "gauge",
                "Sessions of daemons.",
                ("daemon", "state"),
                at_most(sessions, DAEMONS),
            ),
            Family.one(
                "emf_manager_alerts",
                "gauge",
                "Open alerts about nodes that nobody has acknowledged.",
                sum(self._alerts.counts().values()),
            ),
        )

    def _work(self, jobs: Mapping[str, int]) -> tuple[Family, ...]:
        desks = self._engine.seats.desks()
        targets = Counter((open_.target.state,) for desk in desks for open_ in desk.open.values())
        traffic = self._engine.traffic
        outcomes = self._engine.seats.outcomes
        return (
            Family(
                "emf_manager_jobs",
                "gauge",
                "Jobs in the store.",
                ("state",),
                tuple(((state,), number) for state, number in jobs.items()),
            ),
            Family(
                "emf_manager_targets_open",
                "gauge",
                "Actions without an outcome yet.",
                ("state",),
                tuple(targets.items()),
            ),
            Family(
                "emf_manager_outcomes_total",
                "counter",
                "Outcomes that were recorded.",
                ("outcome",),
                tuple(((outcome,), number) for outcome, number in outcomes.items()),
            ),
            *(
                Family.one(f"emf_manager_{name}_total", "counter", text, value)
                for name, text, value in (
                    ("envelopes_received", "Envelopes of agents.", traffic.envelopes),
                    ("messages_received", "Messages in them.", traffic.messages),
                    (
                        "messages_unreadable",
                        "Messages in them that were none.",
                        traffic.unreadable,
                    ),
                )
            ),
            *(
                Family.one(f"emf_manager_{name}", "gauge", text, value)
                for name, text, value in (
                    ("polls_hanging", "Requests of agents that wait.", traffic.hanging),
                    ("event_streams", "Readers of events.", traffic.event_streams),
                    ("value_streams", "Readers of one daemon's value.", traffic.value_streams),
                )
            ),
            Family.one(
                "emf_manager_event_streams_cut_off_total",
                "counter",
                "Readers of events that were too slow.",
                traffic.cut_off,
            ),
        )

    def _kept(self) -> tuple[Family, ...]:
        written, history = self._store.written, self._history
        return tuple(
            Family.one(f"emf_manager_{name}_total", "counter", text, value)
            for name, text, value in (
                ("store_commits", "Transactions of the writer.", written.commits),
                ("store_writes", "What was written in them.", written.writes),
                ("store_failures", "Writes that failed.", written.failures),
                ("store_commit_seconds", "Time spent in them.", written.seconds),
                ("history_samples", "Numbers noted for the history.", history.samples),
                ("history_blocks_written", "Blocks of the history.", history.written_blocks),
                ("history_blocks_lost", "Blocks that the store did not take.", history.lost_blocks),
                ("history_values_cut", "Values with too many series.", history.cut),
            )
        )
