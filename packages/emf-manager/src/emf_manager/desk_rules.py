"""What an event comes to on a desk: the agent's rules and the actions', tied together; no I/O.

One event goes in; out come the node after it, what must be on disk before anybody is answered,
and what may be done once it is. A caller that cannot write throws the result away: then nothing
has happened, and the agent sends it again.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, replace
from typing import Any

from pydantic import JsonValue

from emf_agent.wire import ActionResult
from emf_manager import jobs
from emf_manager.agents import rules
from emf_manager.agents import values as v
from emf_manager.catalogue import read_catalogue
from emf_manager.desk import (
    AGENT,
    Added,
    CancelActions,
    Desk,
    Effect,
    Event,
    Turn,
    WithholdActions,
)
from emf_manager.facts import SOURCES, facts_of_value
from emf_manager.portraits import target_view
from emf_manager.records import (
    LatestValue,
    NewAudit,
    NewEvent,
    SessionRecord,
    Target,
)
from emf_manager.store.interface import Changes, EnvelopeKey, Remark, TargetProgress
from emf_manager.views import TargetView

__all__ = ["step"]

AUDIT_WINDOW_S = 60.0
AUDIT_LINES = 32
"""Lines of the audit trail that one node can cause within the window, each different."""
CONTACT_WRITE_S = 60.0
"""The time of the last contact is written at most this often when nothing else is."""
EVENT_RESULT_BYTES = 64 * 1024
"""A larger result is left out of the event; the job has it."""


def step(desk: Desk, event: Event, now: float, wall: float, *, lease_s: float) -> Turn:
    """Return the node after an event; ``now`` is monotonic, ``wall`` is what is written down."""
    work = Work(desk, now, wall, lease_s)
    match event:
        case Added(opened):
            work.add(opened)
        case CancelActions(action_ids, requester):
            for action_id in action_ids:
                work.target(action_id, jobs.Cancel(requester))
        case WithholdActions(refused):
            for action_id, reason in refused:
                work.target(action_id, jobs.Withhold(reason))
        case v.Tick():
            work.host(event)
            work.every_target(jobs.Tick(work.desk.silent_since))
        case _:
            work.host(event)
    return work.turn(event)


def _is_about(event: NewEvent, action_id: str) -> bool:
    body = event.body
    about = isinstance(body, dict) and body.get("action_id") == action_id
    return about and event.kind == "job.target"


class Work:
    """One step in the making."""

    def __init__(self, desk: Desk, now: float, wall: float, lease_s: float) -> None:
        self.desk = desk
        self.now = now
        self.wall = wall
        self.lease_s = lease_s
        self.node = desk.node
        self.sessions: dict[str, SessionRecord] = {}
        self.values: dict[str, LatestValue] = {}
        self.progress: list[TargetProgress] = []
        self.outcomes: list[Remark] = []
        self.events: list[NewEvent] = []
        self.audit: list[NewAudit] = []
        self.effects: list[Effect] = []
        self.gaps: set[str] = set()

    def turn(self, event: Event) -> Turn:
        """Return what all of it came to."""
        envelope = None
        if isinstance(event, v.Posted) and event.envelope_id is not None:
            taken = any(isinstance(e, v.Accept) and not e.repeated for e in self.effects)
            envelope = EnvelopeKey(self.node.fqdn, event.envelope_id) if taken else None
        self._note_contact(event)
        written = self._node_changed()
        changes = Changes(
            envelope=envelope,
            nodes=(self.node,) if written else (),
            sessions=tuple(self.sessions.values()),
            values=tuple(self.values.values()),
            targets=tuple(self.progress),
            outcomes=tuple(self.outcomes),
            events=tuple(self.events),
            audit=tuple(self.audit),
        )
        node = self.node if written else self.desk.node
        return Turn(replace(self.desk, node=node), changes, tuple(self.effects))

    # The agent

    def host(self, event: v.Event) -> None:
        """Step the agent, and everything that follows from it."""
        waiting: deque[v.Order] = deque(self._host(event))
        while waiting:
            waiting.extendleft(reversed(self._follow(waiting.popleft())))

    def _host(self, event: v.Event) -> tuple[v.Order, ...]:
        host, orders = rules.step(self.desk.host, event, self.now, lease_s=self.lease_s)
        self.desk = replace(self.desk, host=host)
        return orders

    def _follow(self, order: v.Order) -> tuple[v.Order, ...]:  # noqa: C901 - one table
        """Take an order of the agent's rules."""
        match order:
            case v.Hang():
                self.effects.append(order)
                self._ready()
            case v.Accept() | v.Refuse() | v.Wake() | v.Answer():
                self.effects.append(order)
            case v.Offered(action_ids):
                for action_id in action_ids:
                    self.target(action_id, jobs.Delivered(self.desk.host.protocol))
            case v.Unsent(action_id):
                self.target(action_id, jobs.Unsent())
            case v.AgentStarted():
                self._agent_started(order)
            case v.Greeted(hello):
                self.node = replace(
                    self.node,
                    boot_id=hello.boot_id,
                    agent_version=hello.agent_version,
                    mode=hello.mode,
                    catalogue_digest=hello.catalogue_digest,
                    journal_id=self.desk.host.journal_id,
                    journal_sequence=self.desk.host.journal_sequence,
                )
            case v.JournalLost(reason):
                self.event("node.journal_lost", reason=reason)
                self.every_target(jobs.JournalLost())
            case v.Opened() | v.Ended() | v.Lost() | v.Revived():
                self._session(order)
            case v.Missing(session, first, last):
                self.gaps.add(session.daemon)
                self.event("data.gap", daemon=session.daemon, first=first, last=last)
            case v.Received():
                self._received(order)
            case v.Reported():
                self._reported(order)
            case v.WentSilent():
                self._silent(f"no contact for {self.lease_s:g} s")
            case v.Departed(reason):
                self._silent(f"goodbye: {reason}")
            case v.CameBack():
                self.desk = replace(self.desk, silent_since=None)
                self.node = replace(self.node, state="online", reason=None)
                self.event("node.online")
            case v.Audit(kind, detail):
                self._audited(kind, detail)
            case v.TwoPlaces(speakers):
                shown: JsonValue = [
                    {"address": one.address, "instance": one.instance} for one in speakers
                ]
                self.event("identity.two_places", speakers=shown)
                self._audited("two_places", json.dumps(shown))
        return ()

    def _audited(self, kind: str, detail: str) -> None:
        """Note a refusal; a node that repeats itself, or floods, does not fill the trail."""
        line = NewAudit(
            at=self.wall,
            actor=f"node:{self.node.fqdn}",
            what=f"agent.{kind}",
            subject=self.node.fqdn,
            outcome="refused",
            detail=detail,
        )
        recent = [e for e in self.desk.audited if 0 <= self.wall - e.at < AUDIT_WINDOW_S]
        if len(recent) < AUDIT_LINES and not any(replace(e, at=line.at) == line for e in recent):
            self.audit.append(line)
            self.desk = replace(self.desk, audited=(*recent, line))

    def _agent_started(self, order: v.AgentStarted) -> None:
        host = self.desk.host
        self.desk = replace(self.desk, silent_since=None)
        self.node = replace(
            self.node,
            state="online",
            reason=None,
            instance=order.instance,
            superseded=host.superseded,
            boot_time=host.boot,
            protocol=host.protocol,
            first_contact=self.node.first_contact or self.wall,
        )
        self.event(
            "node.online", instance=order.instance, previous=order.previous, rebooted=order.rebooted
        )

    def _silent(self, reason: str) -> None:
        self.desk = replace(self.desk, silent_since=self.now)
        self.node = replace(self.node, state="silent", reason=reason)
        self.event("node.silent", reason=reason)

    def _session(self, order: v.Opened | v.Ended | v.Lost | v.Revived) -> None:
        session = order.session
        daemon = session.daemon
        records = dict(self.desk.records)
        match order:
            case v.Opened():
                record = SessionRecord(
                    session_id=session.id,
                    node=self.node.fqdn,
                    daemon=daemon,
                    instance=self.desk.host.instance or "",
                    started=self.wall,
                )
                records[daemon] = record
                self.event("session.opened", daemon=daemon, session=session.id)
            case v.Ended(_, reason):
                record = records.pop(daemon)
                record = replace(record, state="ended", ended=self.wall, reason=reason)
                self.event("session.ended", daemon=daemon, session=session.id, reason=reason)
            case v.Lost():
                record = records[daemon] = replace(records[daemon], state="lost")
            case v.Revived():
                record = records[daemon] = replace(records[daemon], state="active")
        self.sessions[record.session_id] = record
        self.desk = replace(self.desk, records=records)
        if daemon != rules.ACTION_RUNNER:
            return
        if isinstance(order, v.Opened):
            self._ready()
        elif isinstance(order, v.Ended):
            self.every_target(jobs.Over())

    def _seen(self, session: v.Session) -> None:
        record = replace(self.desk.records[session.daemon], sequence=session.sequence)
        self.desk = replace(self.desk, records={**self.desk.records, session.daemon: record})
        self.sessions[record.session_id] = record

    def _received(self, order: v.Received) -> None:
        session = order.session
        daemon = session.daemon
        self._seen(session)
        self.values[daemon] = LatestValue(
            node=self.node.fqdn,
            daemon=daemon,
            session_id=session.id,
            sequence=session.sequence,
            body=order.body,
            received=self.wall,
            gap=daemon in self.gaps or order.dropped is not None,
        )
        self.gaps.discard(daemon)
        if order.dropped is not None:
            self.event("data.dropped", daemon=daemon, **order.dropped.model_dump())
        if daemon in SOURCES:
            said = facts_of_value(daemon, order.body)
            if said != self.desk.facts.get(daemon):
                self.desk = replace(self.desk, facts={**self.desk.facts, daemon: said})
        if daemon == AGENT:
            read = read_catalogue(order.body, self.desk.catalogue)
            self.desk = replace(self.desk, catalogue=read)
        if self.desk.catalogue is not None and daemon in self.desk.catalogue.streams:
            self.event("data", daemon=daemon, sequence=session.sequence, value=order.body)

    # Its actions

    def add(self, opened: tuple[jobs.Open, ...]) -> None:
        """Take new targets, and offer them where the node can be reached."""
        merged = {**self.desk.open, **{each.target.action_id: each for each in opened}}
        self.desk = replace(self.desk, open=merged)
        self._ready()

    def every_target(self, event: jobs.Event) -> None:
        for action_id in tuple(self.desk.open):
            self.target(action_id, event)

    def _ready(self) -> None:
        if rules.ACTION_RUNNER in self.desk.host.sessions:
            self.every_target(jobs.Ready(self.desk.host.protocol))

    def target(self, action_id: str, event: jobs.Event) -> None:
        """Step one target; what is not open any more is left alone."""
        open_ = self.desk.open.get(action_id)
        if open_ is None:
            return
        after, orders = jobs.step(open_, event, self.now, self.wall)
        if after is not open_:
            left = dict(self.desk.open)
            if after is None:
                del left[action_id]
            else:
                left[action_id] = after
            self.desk = replace(self.desk, open=left)
        for order in orders:
            self._do(open_, order)

    def _do(self, open_: jobs.Open, order: jobs.Order) -> None:
        action_id = open_.target.action_id
        match order:
            case jobs.SendStart(body, expires_at):
                self.host(v.Withdraw(action_id))
                self.host(v.Send(rules.ACTION_RUNNER, body, action_id, expires_at))
            case jobs.SendCancel(body):
                self.host(v.Send(rules.ACTION_RUNNER, body))
            case jobs.Withdraw():
                self.host(v.Withdraw(action_id))
            case jobs.Keep(target, log):
                self._kept(open_, target, log)
            case jobs.Finish(outcome):
                view = target_view(open_.target, silent=self._is_silent, outcome=outcome)
                # What led there in this very step is told by the end.
                self.events = [e for e in self.events if not _is_about(e, action_id)]
                self.outcomes.append(Remark(outcome, (self._told(open_, view),)))

    @property
    def _is_silent(self) -> bool:
        return self.desk.silent_since is not None

    def _kept(self, open_: jobs.Open, target: Target, log: tuple[str, ...]) -> None:
        before = open_.target
        self.progress.append(
            TargetProgress(
                action_id=target.action_id,
                at=self.wall,
                state=target.state if target.state != before.state else None,
                fraction=target.fraction if target.fraction != before.fraction else None,
                message=target.message if target.message != before.message else None,
                cancel=target.cancel if target.cancel != before.cancel else None,
                cancel_requester=target.cancel_requester,
            )
        )
        if (target.state, target.cancel) != (before.state, before.cancel):
            self.events.append(self._told(open_, target_view(target, silent=self._is_silent)))
        else:
            self.event(
                "job.progress",
                job=target.job_id,
                action_id=target.action_id,
                fraction=target.fraction,
                message=target.message,
                log=list(log),
            )

    def _told(self, open_: jobs.Open, view: TargetView) -> NewEvent:
        body: dict[str, Any] = {"job": open_.job.id, **asdict(view)}
        if len(json.dumps(view.result)) > EVENT_RESULT_BYTES:
            body |= {"result": None, "result_left_out": True}
        return NewEvent(self.wall, "job.target", self.node.fqdn, body)

    def _reported(self, order: v.Reported) -> None:
        self._seen(order.session)
        report = order.report
        if report.id in self.desk.open:
            self.target(report.id, jobs.Report(report))
        elif isinstance(report, ActionResult):
            outcome = jobs.outcome_of(report, self.node.fqdn, self.wall)
            body: dict[str, JsonValue] = {
                "job": report.id.partition(".")[0],
                "action_id": report.id,
                "outcome": outcome.kind,
                "reason": outcome.reason,
            }
            event = NewEvent(self.wall, "job.resolved", self.node.fqdn, body)
            self.outcomes.append(Remark(outcome, (event,)))

    # What is written down

    def event(self, kind: str, **body: JsonValue) -> None:
        self.events.append(NewEvent(self.wall, kind, self.node.fqdn, body))

    def _note_contact(self, event: Event) -> None:
        refused = any(isinstance(effect, v.Refuse) for effect in self.effects)
        if isinstance(event, v.Posted | v.Polled) and not refused:
            self.desk = replace(self.desk, last_contact=self.wall)
            protocol = self.desk.host.protocol if self.desk.host.instance else self.node.protocol
            self.node = replace(self.node, last_contact=self.wall, protocol=protocol)
        self.node = replace(self.node, superseded=self.desk.host.superseded)

    def _node_changed(self) -> bool:
        before = self.desk.node
        if replace(self.node, last_contact=before.last_contact) != before:
            return True
        return (self.node.last_contact or 0) - (before.last_contact or 0) >= CONTACT_WRITE_S
