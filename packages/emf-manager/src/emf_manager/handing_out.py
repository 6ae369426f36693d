"""Starts as they leave the manager: the secret arguments of a job are put in at the last moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from emf_agent.wire import ManagerData, ManagerMessage
from emf_manager.catalogue import Catalogue
from emf_manager.hidden_arguments import HIDDEN, hide
from emf_manager.jobs import Open
from emf_manager.safe import Safe, SealError

__all__ = ["put_in", "seal_arguments"]


def seal_arguments(
    job_id: str,
    action: str,
    args: JsonValue,
    catalogues: Iterable[Catalogue],
    safe: Safe,
) -> tuple[JsonValue, str | None, str | None]:
    """Return arguments as they are kept; where some are secret, all of them sealed, and a digest.

    What any node holds to be a secret is one. An action that nobody describes has none.
    """
    shown = args
    for catalogue in {each.content: each for each in catalogues}.values():
        for description in catalogue.actions:
            if description.name == action:
                shown = hide(shown, description.args_schema)
    if shown == args:
        return args, None, None
    return shown, safe.seal(args, about=job_id), safe.digest(args)


def put_in(
    messages: Iterable[ManagerMessage], opened: Mapping[str, Open], safe: Safe
) -> tuple[tuple[ManagerMessage, ...], tuple[tuple[str, str], ...]]:
    """Return messages with what was sealed, and the starts left out: action id, and why."""
    ready: list[ManagerMessage] = []
    refused: list[tuple[str, str]] = []
    for message in messages:
        body = start_in(message)
        if body is None:
            ready.append(message)
            continue
        action_id = str(body.get("id"))
        found = opened.get(action_id)
        if found is None:
            # Its outcome is known already: who asks again had it whole, or never gets it.
            if not names_hidden(body.get("args")):
                ready.append(message)
        elif found.job.sealed is None:
            ready.append(message)
        else:
            try:
                args = safe.open(found.job.sealed, about=found.job.id)
            except SealError as error:
                refused.append((action_id, str(error)))
            else:
                ready.append(message.model_copy(update={"body": {**body, "args": args}}))
    return tuple(ready), tuple(refused)


def names_hidden(value: JsonValue) -> bool:
    """Tell whether something in a value was left out for being secret."""
    if isinstance(value, dict):
        return any(map(names_hidden, value.values()))
    return any(map(names_hidden, value)) if isinstance(value, list) else value == HIDDEN


def start_in(message: ManagerMessage) -> dict[str, JsonValue] | None:
    """Return the order to start an action that a message carries, if it does."""
    body = message.body if isinstance(message, ManagerData) else None
    return body if isinstance(body, dict) and body.get("type") == "ACTION_START" else None
