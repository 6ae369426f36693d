"""A manager in memory, in the place of the transport: answers, forgets, hangs, is cut off.

It serves the agent's tests on virtual time; it promises nothing that a real manager does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import anyio
from pydantic import JsonValue

from emf_agent.errors import ManagerUnreachableError
from emf_agent.transport import Polled, PollQuery, Posted
from emf_agent.wire import (
    PROTOCOL,
    ActionReport,
    ActionResult,
    Envelope,
    EnvelopeAnswer,
    Hello,
    ManagerData,
    ManagerMessage,
    ManagerMessages,
    NodeData,
    ReceivedMessages,
    SessionCreateRequest,
    SessionCreateResponse,
    SessionEnd,
    SessionTerminate,
    Verdict,
    parse_action_report,
    parse_manager_messages,
)

__all__ = ["FakeManager"]

Fault = Callable[[], None]


class FakeManager:
    """Speaks protocol 2, or 1 as an ancestor does, to one agent."""

    def __init__(self, *, protocol: int = PROTOCOL, poll_s: float = 25.0) -> None:
        self.protocol = protocol
        self.epoch = 1
        self.sessions: dict[str, str] = {}
        self.data: list[NodeData] = []
        self.hellos: list[Hello] = []
        self.goodbyes: list[str] = []
        self.ended: list[SessionEnd] = []
        self.requests: list[SessionCreateRequest] = []
        self.envelopes: list[Envelope] = []
        self.polls = 0
        self.before_post: Fault | None = None
        """Raises instead of taking an envelope; cleared after use."""
        self.after_post: Fault | None = None
        """Raises after an envelope was taken: the answer is lost; cleared after use."""
        self.raw_answers: list[bytes] = []
        """Bodies to answer the next polls with, as they are."""
        self._poll_s = poll_s
        self._ids = (f"s{number}" for number in count(1))
        self._numbers = count(1)
        self._queue: list[ManagerMessage] = []
        self._seen_envelopes: set[str] = set()
        self._cut = False
        self._changed = anyio.Event()

    # What a test does

    def send(self, daemon: str, body: JsonValue) -> None:
        """Send a message into a daemon's session."""
        self.enqueue(
            ManagerData(fqdn="n1", plugin=daemon, session_id=self.sessions[daemon], body=body)
        )

    def enqueue(self, message: ManagerMessage) -> None:
        """Queue any message; numbered towards an agent of protocol 2."""
        if self.protocol == PROTOCOL:
            message = message.model_copy(update={"seq": next(self._numbers)})
        self._queue.append(message)
        self._change()

    def cut(self) -> None:
        """Cut the network: what hangs breaks, what comes is lost."""
        self._cut = True
        self._change()

    def heal(self) -> None:
        """Mend the network."""
        self._cut = False

    def restart(self, *, forget: bool) -> None:
        """Die and come back under a new epoch, with or without the sessions."""
        self.epoch += 1
        self._numbers = count(1)
        self._queue.clear()
        if forget:
            self.sessions.clear()
        self._change()

    def values(self, daemon: str) -> list[JsonValue]:
        """Return every value that a daemon has sent, in order."""
        return [one.body for one in self.data if one.plugin == daemon]

    def reports(self) -> list[ActionReport]:
        """Return every report of ``action_runner``, in order."""
        return [parse_action_report(body) for body in self.values("action_runner")]

    def results(self) -> dict[str, list[ActionResult]]:
        """Return the results by action id; more than one would be a broken promise."""
        found: dict[str, list[ActionResult]] = {}
        for report in self.reports():
            if isinstance(report, ActionResult):
                found.setdefault(report.id, []).append(report)
        return found

    # What the agent does

    async def post(self, envelope: Envelope, *, compress: bool, timeout_s: float) -> Posted:  # noqa: ARG002
        """Take an envelope."""
        self._network()
        fault, self.before_post = self.before_post, None
        if fault is not None:
            fault()
        known = envelope.id is not None and envelope.id in self._seen_envelopes
        verdicts = () if known else tuple(self._take(envelope))
        fault, self.after_post = self.after_post, None
        if fault is not None:
            fault()
        answer = EnvelopeAnswer(epoch=self.epoch, verdicts=verdicts)
        return Posted(self.protocol, answer if self.protocol == PROTOCOL else None)

    async def poll(self, query: PollQuery, *, timeout_s: float) -> Polled:  # noqa: ARG002
        """Hang until there is something to say."""
        self.polls += 1
        self._network()
        if query.epoch == self.epoch and query.acknowledged is not None:
            self._queue = [one for one in self._queue if (one.seq or 0) > query.acknowledged]
        with anyio.move_on_after(self._poll_s):
            while not self._queue and not self.raw_answers:
                changed, epoch = self._changed, self.epoch
                await changed.wait()
                self._network()
                if epoch != self.epoch:
                    raise ManagerUnreachableError("https://manager", "it restarted")
        if self.raw_answers:
            return Polled(self.protocol, parse_manager_messages(self.raw_answers.pop(0)))
        messages = tuple(self._queue)
        if self.protocol != PROTOCOL:
            self._queue.clear()
            return Polled(self.protocol, ReceivedMessages(messages, (), None))
        answer = ManagerMessages(messages=messages, epoch=self.epoch)
        return Polled(self.protocol, parse_manager_messages(answer.to_bytes()))

    def _take(self, envelope: Envelope) -> Iterator[Verdict]:
        if envelope.id is not None:
            self._seen_envelopes.add(envelope.id)
        self.envelopes.append(envelope)
        if envelope.hello is not None:
            self.hellos.append(envelope.hello)
        if envelope.goodbye is not None:
            self.goodbyes.append(envelope.goodbye)
        for index, message in enumerate(envelope.messages):
            match message:
                case SessionCreateRequest(plugin=plugin, resume=resume):
                    self.requests.append(message)
                    if resume is None or self.sessions.get(plugin) != resume:
                        self.sessions[plugin] = next(self._ids)
                    self.enqueue(
                        SessionCreateResponse(
                            fqdn=message.fqdn, plugin=plugin, session_id=self.sessions[plugin]
                        )
                    )
                case NodeData(plugin=plugin, session_id=session_id):
                    if self.sessions.get(plugin) == session_id:
                        self.data.append(message)
                    elif self.protocol == PROTOCOL:
                        yield Verdict(index=index, code="unknown_session", reason=session_id)
                        self.enqueue(
                            SessionTerminate(
                                fqdn=message.fqdn,
                                plugin=plugin,
                                session_id=session_id,
                                reason="unknown session",
                            )
                        )
                case SessionEnd(plugin=plugin, session_id=session_id):
                    self.ended.append(message)
                    if self.sessions.get(plugin) == session_id:
                        del self.sessions[plugin]

    def _network(self) -> None:
        if self._cut:
            raise ManagerUnreachableError("https://manager", "cut")

    def _change(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
