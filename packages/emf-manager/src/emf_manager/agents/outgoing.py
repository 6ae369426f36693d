"""What waits for one agent process: in order, numbered when handed out, bounded.

A message gets its number when it is first put into an answer, so that a manager that starts again
can go on from the number the agent acknowledges. With protocol 2 it stays until acknowledged; an
ancestor acknowledges nothing, so what is handed out to it is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from emf_agent.wire import ActionStart, ManagerData, ManagerMessage

__all__ = [
    "MAX_LETTERS",
    "Letter",
    "Outgoing",
    "acknowledge",
    "collect",
    "keep_only",
    "put",
    "ready",
]

MAX_LETTERS = 1024
"""At the bound a message is not taken; what matters (actions, sessions) is asked for again."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""An answer is closed at this size; the agent's limit is twice that."""
FRUITLESS = 3
"""Answers in a row without any acknowledgement, after which repeats no longer hurry."""


@dataclass(frozen=True)
class Letter:
    """One message on its way, and what it is for."""

    message: ManagerMessage
    size: int
    action_id: str | None = None
    """The action whose start it carries."""
    expires_at: float | None = None
    """Monotonic; a start is not handed out after it."""
    number: int = 0
    """0 until it is handed out for the first time."""


@dataclass(frozen=True)
class Outgoing:
    """The queue of one agent process."""

    letters: tuple[Letter, ...] = ()
    last_number: int = 0
    fruitless: int = 0


def put(
    queue: Outgoing,
    message: ManagerMessage,
    *,
    action_id: str | None = None,
    expires_at: float | None = None,
) -> tuple[Outgoing, bool]:
    """Add a message; tell whether there was room."""
    if len(queue.letters) >= MAX_LETTERS:
        return queue, False
    size = len(message.model_dump_json())
    letter = Letter(message, size, action_id, expires_at)
    return replace(queue, letters=(*queue.letters, letter)), True


def keep_only(queue: Outgoing, wanted: Callable[[Letter], bool]) -> Outgoing:
    """Drop what is no longer for anybody."""
    return replace(queue, letters=tuple(letter for letter in queue.letters if wanted(letter)))


def acknowledge(queue: Outgoing, number: int) -> Outgoing:
    """Forget what the agent has; a number beyond ours was given by an earlier manager process."""
    left = tuple(letter for letter in queue.letters if not 0 < letter.number <= number)
    progress = len(left) < len(queue.letters) or not any(letter.number for letter in left)
    return Outgoing(
        letters=left,
        last_number=max(queue.last_number, number),
        fruitless=0 if progress else queue.fruitless,
    )


def ready(queue: Outgoing) -> bool:
    """Tell whether a hanging GET is worth answering now.

    Repeats that were never acknowledged stop hurrying after a while and ride along at the poll's
    end, so that an agent that cannot acknowledge does not spin.
    """
    if queue.fruitless < FRUITLESS:
        return bool(queue.letters)
    return any(not letter.number for letter in queue.letters)


def collect(
    queue: Outgoing, now: float, *, until_acknowledged: bool
) -> tuple[Outgoing, tuple[ManagerMessage, ...], tuple[str, ...]]:
    """Return the queue after an answer, its messages, and the ids of the actions offered in it."""
    left: list[Letter] = []
    messages: list[ManagerMessage] = []
    offered: list[str] = []
    number, size, full = queue.last_number, 0, False
    for letter in queue.letters:
        if letter.expires_at is not None and letter.expires_at <= now:
            continue
        full = full or bool(messages and size + letter.size > MAX_ANSWER_BYTES)
        if full:
            left.append(letter)
            continue
        size += letter.size
        if letter.action_id is not None:
            offered.append(letter.action_id)
        if not until_acknowledged:
            messages.append(letter.message)
            continue
        if not letter.number:
            number += 1
            letter = replace(letter, number=number)  # noqa: PLW2901 - the same letter, stamped
        left.append(letter)
        messages.append(_stamped(letter, now))
    repeated = until_acknowledged and bool(messages)
    after = Outgoing(tuple(left), number, queue.fruitless + 1 if repeated else 0)
    return after, tuple(messages), tuple(offered)


def _stamped(letter: Letter, now: float) -> ManagerMessage:
    """Return the message with its number, and with what is left of an action's time to start."""
    message = letter.message.model_copy(update={"seq": letter.number})
    if letter.expires_at is None or not isinstance(message, ManagerData):
        return message
    start = ActionStart.model_validate(message.body)
    body = start.model_copy(update={"expires_in": letter.expires_at - now})
    return message.model_copy(update={"body": body.model_dump(mode="json")})
