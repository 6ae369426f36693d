"""One daemon's value as it changes: server-sent events that always carry the newest value.

A reader that is slow misses values in between, and sees so by the sequence; nothing is kept for
it. One that comes back with ``Last-Event-ID`` is told the value only where it is another by now.
"""

from __future__ import annotations

import logging

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from emf_agent.errors import RefusedError
from emf_manager.api import translate
from emf_manager.api.event_stream import HEARTBEAT_S, LASTS_S, Line, watch_reader
from emf_manager.api.problems import ProblemError
from emf_manager.api.service import Engine
from emf_manager.value_watch import Follower
from emf_manager.views import NotFoundError

__all__ = ["DataStream"]

logger = logging.getLogger(__name__)

RETRY_MS = 1000


class DataStream(Response):
    """An answer that ends with its reader, the value, its time or the manager."""

    media_type = "text/event-stream"

    def __init__(self, engine: Engine, node: str, daemon: str, *, seen: str | None) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._engine = engine
        self._node = node
        self._daemon = daemon
        self._seen = seen

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Speak until it is over.

        Raises:
            ProblemError: too many values are being followed.

        """
        try:
            with self._engine.follow(self._node, self._daemon) as follower:
                await self._speak(receive, send, follower)
        except RefusedError as error:
            raise ProblemError(503, "busy", str(error)) from error

    async def _speak(self, receive: Receive, send: Send, follower: Follower) -> None:
        line = Line(send)
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_reader, receive, tasks.cancel_scope)
            try:
                await line.write(f"retry: {RETRY_MS}\n\n")
                with anyio.move_on_after(LASTS_S) as lasting:
                    await self._tell(line, follower)
                if lasting.cancelled_caught:
                    await line.event("resume", {"reason": "come back with Last-Event-ID"}, None)
                await line.close()
            except (TimeoutError, OSError) as error:
                logger.info("reader of a value dropped reason=%s", error or "it takes nothing")
            tasks.cancel_scope.cancel()

    async def _tell(self, line: Line, follower: Follower) -> None:
        seen, stale = self._seen, False
        while not follower.closed:
            try:
                view = await self._engine.latest(self._node, self._daemon)
            except NotFoundError as error:
                await line.event("gone", {"reason": str(error)}, None)
                return
            number = f"{view.session_id}:{view.sequence}"
            if (number, view.stale) != (seen, stale):
                await line.event("value", translate.data(view).model_dump(mode="json"), number)
                seen, stale = number, view.stale
            with anyio.move_on_after(HEARTBEAT_S) as quiet:
                await follower.changed()
            if quiet.cancelled_caught:
                await line.write(": alive\n\n")
