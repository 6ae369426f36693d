"""The event stream: server-sent events with resume, heartbeats, and an end for slow readers.

Stored events are told first, then those that happen. A reader that does not keep up is sent
``resume`` and let go; it loses nothing, because it comes back with ``Last-Event-ID``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterable, Callable
from typing import Any

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from emf_agent.errors import RefusedError
from emf_manager.api import translate
from emf_manager.api.models import Event
from emf_manager.api.problems import BUSY_S, ProblemError
from emf_manager.api.service import Engine
from emf_manager.bus import TooSlowError
from emf_manager.views import EventView

__all__ = ["HEARTBEAT_S", "LASTS_S", "EventStream", "Line", "watch_reader"]

logger = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
LASTS_S = 300.0
"""A stream ends by then and its reader comes back, so that whoever lost the right to read does not
read on."""
SEND_S = 60.0
"""A reader that takes nothing off its connection for so long is let go."""
PAGE = 500
RETRY_MS = 1000


class EventStream(Response):
    """An answer that ends with its reader, its time or the manager."""

    media_type = "text/event-stream"

    def __init__(
        self, engine: Engine, *, after: int | None, wanted: Callable[[Event], bool]
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._engine = engine
        self._after = after
        self._wanted = wanted

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Speak until it is over.

        Raises:
            ProblemError: too many streams are open.

        """
        newest = await self._engine.last_event()
        last = newest if self._after is None else self._after
        try:
            with self._engine.subscribe(after=min(last, newest)) as live:
                await self._speak(receive, send, live, last, newest)
        except RefusedError as error:
            raise ProblemError(503, "busy", str(error), retry_after_s=BUSY_S) from error

    async def _speak(
        self, receive: Receive, send: Send, live: AsyncIterable[EventView], last: int, newest: int
    ) -> None:
        line = Line(send)
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_reader, receive, tasks.cancel_scope)
            tasks.start_soon(line.beat, tasks.cancel_scope)
            try:
                with anyio.move_on_after(LASTS_S) as lasting:
                    await self._tell(line, live, last, newest)
                if lasting.cancelled_caught:
                    await line.event("resume", {"reason": "come back with Last-Event-ID"}, None)
                await line.close()
            except (TimeoutError, OSError) as error:
                logger.info("event reader dropped reason=%s", error or "it takes nothing")
            tasks.cancel_scope.cancel()

    async def _tell(
        self, line: Line, live: AsyncIterable[EventView], last: int, newest: int
    ) -> None:
        await line.write(f"retry: {RETRY_MS}\n\n")
        if last > newest:
            await line.event("gap", {"reason": "the numbering began anew"}, newest)
            last = newest
        last = await self._tell_stored(line, last)
        try:
            async for view in live:
                if view.sequence > last:
                    last = await self._pass_on(line, view)
        except TooSlowError:
            reason = "this reader was too slow; come back with Last-Event-ID"
            await line.event("resume", {"reason": reason}, None)

    async def _tell_stored(self, line: Line, last: int) -> int:
        while views := await self._engine.events(after=last, limit=PAGE):
            first = views[0].sequence
            if first > last + 1:
                missing = {"first": last + 1, "last": first - 1, "reason": "no longer kept"}
                await line.event("gap", missing, first - 1)
            for view in views:
                last = await self._pass_on(line, view)
        return last

    async def _pass_on(self, line: Line, view: EventView) -> int:
        event = translate.event(view)
        if self._wanted(event):
            await line.event(event.kind, event.model_dump(mode="json"), event.sequence)
        return event.sequence


class Line:
    """The reader's connection: whole messages only, each under a deadline."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._turn = anyio.Lock()

    async def event(self, kind: str, data: Any, sequence: int | str | None) -> None:
        """Send one event; with a number it is what ``Last-Event-ID`` will say."""
        number = "" if sequence is None else f"id: {sequence}\n"
        body = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        await self.write(f"{number}event: {kind}\ndata: {body}\n\n")

    async def write(self, text: str) -> None:
        """Send a piece.

        Raises:
            TimeoutError: the reader takes nothing.

        """
        async with self._turn:
            with anyio.fail_after(SEND_S):
                await self._send(
                    {"type": "http.response.body", "body": text.encode(), "more_body": True}
                )

    async def close(self) -> None:
        """End the answer properly."""
        async with self._turn:
            with anyio.move_on_after(SEND_S):
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def beat(self, stream: anyio.CancelScope) -> None:
        """Send comments, so that both sides notice a dead connection; end it when it is dead."""
        try:
            while True:
                await anyio.sleep(HEARTBEAT_S)
                await self.write(": alive\n\n")
        except (TimeoutError, OSError):
            stream.cancel()


async def watch_reader(receive: Receive, stream: anyio.CancelScope) -> None:
    """End the stream when the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.cancel()
