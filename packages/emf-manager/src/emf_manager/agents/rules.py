"""The rules of one host: what happens to it and what must then be done. Time is an argument.

A host has one current agent process, told apart by its start time (the *instance*). Any contact of
a new one supersedes the old: its sessions end, what waited for it is dropped, its hanging GET is
answered. A contact of a superseded one is refused, so that a zombie connection can neither swallow
messages nor take the host back (ancestor protocol, W-M5, W-M6, W-M12).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from typing_extensions import assert_never

from emf_agent.errors import ProtocolError
from emf_agent.wire import (
    AgentMessage,
    Hello,
    ManagerData,
    ManagerMessage,
    NodeData,
    SessionCreateRequest,
    SessionCreateResponse,
    SessionEnd,
    SessionTerminate,
    SessionTerminateAll,
    Verdict,
    parse_action_report,
)
from emf_manager.agents import outgoing as out
from emf_manager.agents import values as v
from emf_manager.agents.places import Speaker, heard

__all__ = ["ACTION_RUNNER", "LEASE_S", "MAX_SESSIONS", "due", "step"]

ACTION_RUNNER = "action_runner"
LEASE_S = 60.0
MAX_SESSIONS = 64
"""Sessions of one host; a quota, since a daemon's name is whatever the host says."""
MAX_SUPERSEDED = 32
MAX_ENVELOPES = 256
LARGEST_NUMBER = 2**63 - 1
"""Sequence numbers are kept in signed 64-bit columns."""


def step(
    host: v.Host, event: v.Event, now: float, *, lease_s: float = LEASE_S
) -> tuple[v.Host, tuple[v.Order, ...]]:
    """Return the host after an event, and what must now be done, in order.

    ``now`` is monotonic seconds. A POST gives exactly one ``Accept`` or ``Refuse``, a GET one
    ``Hang`` or ``Refuse``, ``Collect`` one ``Answer``. Nothing here has happened until the caller
    keeps the returned host: a caller that cannot store what the orders say throws it away.
    """
    draft = Draft(host, now, lease_s)
    match event:
        case v.Posted():
            draft.post(event)
        case v.Polled():
            draft.poll(event)
        case v.Collect(poll):
            draft.collect(poll)
        case v.Abandoned(poll):
            if poll == host.poll:
                draft.host = replace(host, poll=0)
        case v.Nudge():
            draft.wake()
        case v.Tick():
            draft.tick()
        case v.Send():
            draft.send(event)
        case v.Withdraw(action_id):
            draft.withdraw(action_id)
        case v.Reset():
            draft.reset(event)
        case _:
            assert_never(event)
    return draft.host, tuple(draft.orders)


def due(host: v.Host) -> float | None:
    """Return when the next ``Tick`` matters (monotonic), or None when none does."""
    return None if host.silent else host.lease_until


class Draft:
    """One step in the making: the host so far, and the orders so far."""

    def __init__(self, host: v.Host, now: float, lease_s: float) -> None:
        self.host = host
        self.now = now
        self.lease_s = lease_s
        self.orders: list[v.Order] = []

    # A POST

    def post(self, posted: v.Posted) -> None:
        contact = posted.contact
        if self._is_repeat(posted):
            self._keep_alive()
            self.orders.append(v.Accept(repeated=True))
            return
        strangers = [m for _, m in posted.messages if m.fqdn != self.host.fqdn]
        for message in strangers:
            self.orders.append(
                v.Audit("identity", f"a {message.type} message names {message.fqdn[:255]!r}")
            )
        if contact.protocol < 2 and strangers:
            self._refuse(403, f"this certificate speaks for {self.host.fqdn} only")
            return
        if contact.protocol < 2 and posted.unreadable:
            bad = posted.unreadable[0]
            self._refuse(400, f"message {bad.index}: {bad.reason}")
            return
        if not self._contact(contact):
            return
        if posted.envelope_id is not None:
            seen = (*self.host.envelopes, posted.envelope_id)
            self.host = replace(self.host, envelopes=seen[-MAX_ENVELOPES:])
        if posted.hello is not None:
            self._greet(posted.hello)
        verdicts = [
            Verdict(index=u.index, code="unreadable", reason=u.reason) for u in posted.unreadable
        ]
        for place, (index, message) in enumerate(posted.messages):
            verdict = self._message(index, message, posted.fresh_ids[place])
            if verdict is not None:
                verdicts.append(verdict)
        if posted.goodbye is not None:
            self.orders.append(v.Departed(posted.goodbye))
            self.leave(f"goodbye: {posted.goodbye}")
        verdicts.sort(key=lambda verdict: verdict.index)
        self.orders.append(v.Accept(tuple(verdicts)))

    def _is_repeat(self, posted: v.Posted) -> bool:
        """Tell whether this envelope was taken before; also that of a process that said goodbye."""
        last = self.host.superseded[-1:] if self.host.instance is None else (self.host.instance,)
        return (
            posted.envelope_id is not None
            and posted.envelope_id in self.host.envelopes
            and posted.contact.instance in last
        )

    def _message(self, index: int, message: AgentMessage, fresh_id: str) -> Verdict | None:
        if message.fqdn != self.host.fqdn:
            reason = f"this certificate speaks for {self.host.fqdn} only"
            return Verdict(index=index, code="identity", reason=reason)
        match message:
            case SessionCreateRequest():
                return self._create(index, message, fresh_id)
            case NodeData():
                return self._data(index, message)
            case SessionEnd():
                session = self.host.sessions.get(message.plugin)
                if session is not None and session.id == message.session_id:
                    self._end(session, message.reason)
                return None
        assert_never(message)

    def _create(self, index: int, request: SessionCreateRequest, fresh_id: str) -> Verdict | None:
        daemon = request.plugin
        session = self.host.sessions.get(daemon)
        if session is not None and session.id == request.resume:
            self._put(self._named(session))
            return None
        if session is None and len(self.host.sessions) >= MAX_SESSIONS:
            reason = f"{self.host.fqdn} has {MAX_SESSIONS} sessions, the limit"
            return Verdict(index=index, code="refused", reason=reason)
        answer = self._named(v.Session(fresh_id, daemon))
        if session is not None:
            self._end(session, "replaced: the daemon asked for a new session")
        if not self._put(answer):
            reason = "too much waits for this agent; ask again"
            return Verdict(index=index, code="refused", reason=reason)
        session = v.Session(fresh_id, daemon)
        self._keep(session)
        self.orders.append(v.Opened(session))
        return None

    def _named(self, session: v.Session) -> SessionCreateResponse:
        return SessionCreateResponse(
            fqdn=self.host.fqdn, plugin=session.daemon, session_id=session.id
        )

    def _data(self, index: int, data: NodeData) -> Verdict | None:
        session = self.host.sessions.get(data.plugin)
        if session is None or session.id != data.session_id:
            reason = "the manager does not know this session"
            self._terminate(data.plugin, data.session_id, reason)
            return Verdict(index=index, code="unknown_session", reason=reason)
        if data.session_seq > LARGEST_NUMBER:
            return Verdict(index=index, code="refused", reason="session_seq is 2^63 or more")
        late = data.session_seq <= session.sequence
        expected = session.sequence + 1
        if data.dropped is not None and data.dropped.first <= expected <= data.dropped.last:
            expected = data.dropped.last + 1
        if data.session_seq > expected:
            self.orders.append(v.Missing(session, expected, data.session_seq - 1))
        if not late:
            session = replace(session, sequence=data.session_seq)
            self._keep(session)
        if data.plugin == ACTION_RUNNER:
            return self._report(index, session, data)
        if not late:
            self.orders.append(v.Received(session, data.body, data.dropped))
        return None

    def _report(self, index: int, session: v.Session, data: NodeData) -> Verdict | None:
        """Take an action's report whatever its number: it counts once, by the action's id."""
        try:
            report = parse_action_report(data.body)
        except ProtocolError as error:
            return Verdict(index=index, code="unreadable", reason=str(error))
        self.orders.append(v.Reported(session, report))
        return None

    def _greet(self, hello: Hello) -> None:
        # Without an id it cannot open its journal now: what that holds is out of reach, not lost.
        if hello.journal_id:
            self._compare_journal(hello)
        self.orders.append(v.Greeted(hello))

    def _compare_journal(self, hello: Hello) -> None:
        known, sequence = self.host.journal_id, self.host.journal_sequence
        if known is not None and hello.journal_id != known:
            self.orders.append(v.JournalLost("the node has a new journal"))
        elif known is not None and hello.journal_sequence < sequence:
            self.orders.append(
                v.JournalLost(
                    f"the node's journal went back from {sequence} to {hello.journal_sequence}"
                )
            )
        self.host = replace(
            self.host,
            journal_id=hello.journal_id,
            journal_sequence=min(hello.journal_sequence, LARGEST_NUMBER),
        )

    # A GET

    def poll(self, polled: v.Polled) -> None:
        if not self._contact(polled.contact):
            return
        self.wake()
        if polled.acknowledged is not None and polled.contact.protocol >= 2:
            self.host = replace(
                self.host, outgoing=out.acknowledge(self.host.outgoing, polled.acknowledged)
            )
        number = self.host.polls + 1
        self.host = replace(self.host, poll=number, polls=number, protocol=polled.contact.protocol)
        self.orders.append(v.Hang(number))
        if self.host.greeting_due or out.ready(self.host.outgoing):
            self.wake()

    def collect(self, poll: int) -> None:
        if poll != self.host.poll:
            self.orders.append(v.Answer(()))
            return
        self._keep_alive()
        if self.host.greeting_due:
            self.host = replace(self.host, poll=0, greeting_due=False)
            self.orders.append(v.Answer((SessionTerminateAll(fqdn=self.host.fqdn),)))
            return
        queue, messages, offered = out.collect(
            self.host.outgoing, self.now, until_acknowledged=self.host.protocol >= 2
        )
        self.host = replace(self.host, poll=0, outgoing=queue)
        if offered:
            self.orders.append(v.Offered(offered))
        self.orders.append(v.Answer(messages))

    def wake(self) -> None:
        if self.host.poll:
            self.orders.append(v.Wake(self.host.poll))

    # Contact, silence, the end

    def _contact(self, contact: v.Contact) -> bool:
        """Take note of who speaks; False where it has been superseded and was refused."""
        speaker = Speaker(contact.instance, contact.address)
        places, alarming = heard(self.host.places, speaker, self.now)
        self.host = replace(self.host, places=places)
        if alarming:
            self.orders.append(v.TwoPlaces(places.recent))
        if contact.instance in self.host.superseded:
            self.orders.append(
                v.Audit("superseded", f"the agent process of {contact.instance[:255]} spoke again")
            )
            self._refuse(409, "another agent process of this host has taken over")
            return False
        if contact.instance != self.host.instance:
            self._supersede(contact)
        self._keep_alive()
        return True

    def _supersede(self, contact: v.Contact) -> None:
        previous, boot = self.host.instance, self.host.boot
        known = previous is not None or bool(self.host.superseded)
        self.leave("another agent process has taken over")
        self.host = replace(
            self.host,
            instance=contact.instance,
            boot=contact.boot,
            protocol=contact.protocol,
            silent=False,
            envelopes=(),
            greeting_due=known and contact.protocol < 2,
        )
        rebooted = boot is not None and boot != contact.boot
        self.orders.append(v.AgentStarted(contact.instance, previous, rebooted))

    def leave(self, reason: str) -> None:
        """End all there is with the current process; it may not come back."""
        for session in tuple(self.host.sessions.values()):
            self._end(session, reason)
        self.wake()
        gone = () if self.host.instance is None else (self.host.instance,)
        self.host = replace(
            self.host,
            instance=None,
            superseded=(*self.host.superseded, *gone)[-MAX_SUPERSEDED:],
            silent=True,
            outgoing=out.Outgoing(),
            poll=0,
            greeting_due=False,
        )

    def _keep_alive(self) -> None:
        self.host = replace(self.host, lease_until=self.now + self.lease_s)
        if not self.host.silent or self.host.instance is None:
            return
        self.host = replace(self.host, silent=False)
        self.orders.append(v.CameBack())
        for session in tuple(self.host.sessions.values()):
            if session.lost:
                found = replace(session, lost=False)
                self._keep(found)
                self.orders.append(v.Revived(found))

    def tick(self) -> None:
        if self.host.silent or self.now < self.host.lease_until:
            return
        self.wake()
        self.host = replace(self.host, silent=True, poll=0)
        self.orders.append(v.WentSilent())
        for session in tuple(self.host.sessions.values()):
            lost = replace(session, lost=True)
            self._keep(lost)
            self.orders.append(v.Lost(lost))

    def reset(self, reset: v.Reset) -> None:
        for session in tuple(self.host.sessions.values()):
            if reset.daemon in (None, session.daemon):
                self._end(session, reset.reason)
                self._terminate(session.daemon, session.id, reset.reason)

    # What goes to the agent

    def send(self, order: v.Send) -> None:
        session = self.host.sessions.get(order.daemon)
        if session is None:
            self._unsent(order, f"no session of {order.daemon}")
            return
        message = ManagerData(
            fqdn=self.host.fqdn, plugin=order.daemon, session_id=session.id, body=order.body
        )
        if not self._put(message, action_id=order.action_id, expires_at=order.expires_at):
            self._unsent(order, "too much waits for this agent")

    def _unsent(self, order: v.Send, reason: str) -> None:
        if order.action_id is not None:
            self.orders.append(v.Unsent(order.action_id, reason))

    def withdraw(self, action_id: str) -> None:
        self._only(lambda letter: letter.action_id != action_id)

    def _terminate(self, daemon: str, session_id: str, reason: str) -> None:
        """Tell the agent that a session is over; once, however often it posts into the void."""
        told = SessionTerminate(
            fqdn=self.host.fqdn,
            plugin=daemon,
            session_id=session_id,
            reason=reason if self.host.protocol >= 2 else None,
        )
        if all(letter.message != told for letter in self.host.outgoing.letters):
            self._put(told)

    def _put(
        self,
        message: ManagerMessage,
        *,
        action_id: str | None = None,
        expires_at: float | None = None,
    ) -> bool:
        queue, taken = out.put(
            self.host.outgoing, message, action_id=action_id, expires_at=expires_at
        )
        self.host = replace(self.host, outgoing=queue)
        if taken:
            self.wake()
        return taken

    def _only(self, wanted: Callable[[out.Letter], bool]) -> None:
        self.host = replace(self.host, outgoing=out.keep_only(self.host.outgoing, wanted))

    # Sessions

    def _keep(self, session: v.Session) -> None:
        self.host = replace(self.host, sessions={**self.host.sessions, session.daemon: session})

    def _end(self, session: v.Session, reason: str) -> None:
        """End a session; what waits for it must not reach the one after it."""
        left = {daemon: s for daemon, s in self.host.sessions.items() if daemon != session.daemon}
        self.host = replace(self.host, sessions=left)
        self._only(
            lambda letter: (
                isinstance(letter.message, SessionTerminate | SessionTerminateAll)
                or letter.message.session_id != session.id
            )
        )
        self.orders.append(v.Ended(session, reason))

    def _refuse(self, status: v.Status, reason: str) -> None:
        self.orders.append(v.Refuse(status, reason))
