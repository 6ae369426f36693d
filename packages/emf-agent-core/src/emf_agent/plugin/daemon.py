"""Daemon plugins: stateful monitors, one instance for the life of one session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, get_type_hints

from pydantic import JsonValue, TypeAdapter
from typing_extensions import TypeAliasType

from emf_agent.errors import EmfError
from emf_agent.plugin.context import DaemonContext

__all__ = [
    "Daemon",
    "DaemonError",
    "DaemonFactory",
    "DaemonFault",
    "FatalStartError",
    "NotApplicableError",
    "NotReadyError",
    "Payload",
    "answer_adapter",
    "payload_adapter",
]

Payload = TypeAliasType("Payload", Any)
"""What a daemon returns: JSON, or anything its return annotation can be written as JSON with.

``None`` means: nothing to send.
"""


class DaemonError(EmfError):
    """Base of what a daemon raises to say more than that it failed."""


class NotReadyError(DaemonError):
    """The node is not ready for it yet; starting is tried again with growing pauses."""


class NotApplicableError(DaemonError):
    """It has no place on this node; shown with the reason, tried again at the next start only."""


class FatalStartError(DaemonError):
    """Trying again is useless until someone mends the cause and restarts the agent."""


class DaemonFault(DaemonError):  # noqa: N818 - the word users know; a fault is reported, not fatal
    """It ran, but what it found cannot be right: the expected shape is missing.

    Raise it instead of returning an empty success ("an OSS has at least one OST"). The session
    lives on, the manager is shown the fault, and the next update may clear it.
    """


class Daemon:
    """Base class of a daemon plugin; construction must do nothing that one could notice.

    The runtime calls, in this order and never two at once: ``start_session`` once; then
    ``update_session`` every ``interval_s`` and ``receive`` for each message of the manager; at the
    end ``stop_session``. ``watch_session`` runs beside them all the time. An exception from any of
    them ends the session, which is tried again with growing pauses and a new instance.
    """

    name: ClassVar[str]
    """Name on the wire: lower case, digits, ``_``, ``-``, ``.``."""
    interval_s: ClassVar[float] = 10.0
    """Seconds between the beginnings of two updates, without drift."""
    deadline_s: ClassVar[float] = 1.0
    """Seconds one ``update_session`` may take, measured from its call."""
    start_deadline_s: ClassVar[float] = 5.0
    delivery: ClassVar[Literal["latest", "every"]] = "latest"
    """``latest``: state, a newer value replaces an unsent one. ``every``: events, none is merged;
    what has to be dropped for want of room is marked."""

    context: DaemonContext = DaemonContext()

    async def start_session(self) -> Payload:
        """Begin, and return the first value.

        Raises:
            NotReadyError, NotApplicableError, FatalStartError: see there.

        """
        return await self.update_session()

    async def update_session(self) -> Payload:
        """Return the current value; ``None`` sends nothing.

        Raises:
            DaemonFault: what it found cannot be right.

        """
        return None

    async def watch_session(self) -> None:
        """Watch for changes beside the updates; call ``self.context.wake()`` when there is one.

        Runs from the end of ``start_session`` to the end of the session, when it is cancelled.
        Returning early is fine: there was nothing (more) to watch.
        """

    async def receive(self, body: JsonValue) -> Payload:  # noqa: ARG002 - for overriding
        """Handle a message of the manager; a value is sent as ``{"Ok": value}``, ``None`` is not.

        An exception is sent as ``{"Err": text}``; the session lives on. Has ``start_deadline_s``.
        """
        raise DaemonError(f"{self.name} takes no messages")

    async def delivered(self, payload: Payload) -> None:
        """Take note that the manager has stored ``payload``; called in order, once for each."""

    async def stop_session(self) -> None:
        """Give back what the instance holds. Has one second."""


DaemonFactory = Callable[[], Daemon]
"""A daemon class, or a callable that makes an instance (``functools.partial(Stats, settings)``)."""


def payload_adapter(daemon: type[Daemon]) -> TypeAdapter[Any]:
    """Return what writes and describes a daemon's payload, from ``update_session``'s annotation."""
    return returned_by(daemon.update_session)


def answer_adapter(daemon: type[Daemon]) -> TypeAdapter[Any]:
    """Return what writes a daemon's answers to messages, from ``receive``'s annotation."""
    return returned_by(daemon.receive)


def returned_by(method: Callable[..., Any]) -> TypeAdapter[Any]:
    """Return the adapter of a method's return annotation; anything goes where it has none."""
    annotation = get_type_hints(method, include_extras=True).get("return", Any)
    return TypeAdapter(Any if annotation in (Payload, type(None)) else annotation)
