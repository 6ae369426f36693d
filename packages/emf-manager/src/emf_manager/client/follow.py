"""Following a job through the event stream: pushed, not polled; re-read after every break."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import anyio

from emf_agent.errors import ManagerUnreachableError
from emf_manager.client.door import Door, ProblemAnswerError, PushedEvent
from emf_manager.client.job_view import JobView, Target

__all__ = ["follow_events", "follow_job", "follow_stream"]

ATTEMPTS = 8
"""Breaks in a row, without one event between them, after which the manager counts as gone."""
PAUSE_S = 0.25
MAX_PAUSE_S = 10.0
SERVER_FAULT = 500
ASK_LATER = {429}


async def follow_events(
    door: Door, params: Mapping[str, object], *, after: int | None
) -> AsyncGenerator[PushedEvent | None, None]:
    """Yield events from the stream, and None once back after a break: then re-read what counts.

    Raises:
        ManagerUnreachableError: it stayed away for too long.
        ProblemAnswerError: it said no.

    """
    last_id = None if after is None else str(after)
    async with aclosing(follow_stream(door, "events/stream", params, last_id=last_id)) as events:
        async for event in events:
            yield event


async def follow_stream(
    door: Door, path: str, params: Mapping[str, object], *, last_id: str | None
) -> AsyncGenerator[PushedEvent | None, None]:
    """Yield what a stream tells, and None once back after a break; raises as ``follow_events``."""
    breaks = 0
    broken = False
    while True:
        pause = True
        try:
            async with door.stream(params, last_id, path=path) as events:
                if broken:
                    yield None
                async for event in events:
                    last_id = event.id or last_id
                    if event.kind == "resume":
                        pause = False
                        break
                    breaks = 0
                    yield event
        except ManagerUnreachableError:
            if breaks >= ATTEMPTS:
                raise
        except ProblemAnswerError as answer:
            if not (answer.status in ASK_LATER or answer.status >= SERVER_FAULT):
                raise
            if breaks >= ATTEMPTS:
                raise
        broken = True
        breaks += 1
        if pause:
            jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads retries, guards nothing
            await anyio.sleep(jitter * min(MAX_PAUSE_S, PAUSE_S * 2**breaks))


def deaf(node: str, lines: Sequence[str]) -> None:
    """Hear nothing."""


async def follow_job(
    door: Door, job_id: str, hear: Callable[[str, Sequence[str]], None] = deaf
) -> AsyncGenerator[JobView, None]:
    """Yield the job now and after each change, until its last outcome is known.

    What an action logs goes to ``hear``, with its node.

    Raises:
        ManagerUnreachableError: it stayed away for too long; the job itself goes on.
        ProblemAnswerError: there is no such job, or it may not be read.

    """
    view = await read_job(door, job_id)
    yield view
    if view.done:
        return
    async with aclosing(follow_events(door, {"job": job_id}, after=view.event)) as events:
        async for event in events:
            if event is None or event.kind in {"gap", "job.done"}:
                view = await read_job(door, job_id)
            else:
                if lines := logged(event):
                    hear(*lines)
                changed = news(view, event)
                if changed is view:
                    continue
                view = changed or await read_job(door, job_id)
            if view.done:
                view = await read_job(door, job_id)
            yield view
            if view.done:
                return


def logged(event: PushedEvent) -> tuple[str, list[str]] | None:
    """Return what an action has logged, and where."""
    data: Any = event.data
    log = data["body"].get("log") if event.kind == "job.progress" else None
    return (data["node"], [str(line) for line in log]) if log else None


async def read_job(door: Door, job_id: str) -> JobView:
    return JobView.from_json(await door.get(f"jobs/{job_id}"))


def news(view: JobView, event: PushedEvent) -> JobView | None:
    """Return the view after an event; None where the event does not tell enough."""
    data: Any = event.data
    match event.kind:
        case "job.target" if data["body"].get("result_left_out"):
            return None
        case "job.released":
            return view.with_released(data["body"]["batch"])
        case "job.stopped":
            return None
        case "job.target":
            return view.with_target(Target.from_json(data["body"]))
        case "job.progress":
            body = data["body"]
            return view.with_progress(data["node"], body.get("fraction"), body.get("message"))
        case "node.silent" | "node.online":
            return view.with_contact(data["node"], silent=event.kind == "node.silent")
    return view
