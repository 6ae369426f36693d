"""Entity tags for every read: an answer that the caller has already is not sent again.

A route whose answer says how old something is tags what does not change by itself; whatever has no
tag gets one here, over the very bytes.
"""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Fresh", "matches"]


class Fresh:
    """ASGI middleware around the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, Tagging(send, Headers(scope=scope).get("if-none-match")))


class Tagging:
    """Holds back a JSON answer without a tag until all of it is there."""

    def __init__(self, send: Send, known: str | None) -> None:
        self._send = send
        self._known = known
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and is_untagged(message):
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._tell(self._start)

    async def _tell(self, start: Message) -> None:
        tag = f'W/"{hashlib.sha256(self._body).hexdigest()[:32]}"'
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["etag"] = tag
        headers.setdefault("cache-control", "private, no-cache")
        status, body = start["status"], self._body
        if self._known is not None and matches(self._known, tag):
            status, body = 304, b""
            del headers["content-length"]
            del headers["content-type"]
        await self._send({**start, "status": status, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def is_untagged(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    is_json = headers.get("content-type", "").startswith("application/json")
    return start["status"] == 200 and is_json and "etag" not in headers


def matches(given: str, tag: str) -> bool:
    """Tell whether a list of tags, as in ``If-Match``, has this one; ours are all weak."""
    bare = tag.removeprefix("W/")
    tags = (part.strip().removeprefix("W/") for part in given.split(","))
    return given.strip() == "*" or bare in tags
