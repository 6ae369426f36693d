"""Calls of the API without a connection: a page's write meets the same guard as any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.types import ASGIApp, Message, Scope

from emf_manager.api.problems import Problem, ProblemError
from emf_manager.authorization import API_PREFIX

__all__ = ["Answer", "call"]


@dataclass(frozen=True)
class Answer:
    """What the API said."""

    status: int
    body: Any

    def problem(self) -> ProblemError:
        """Return its refusal as an error."""
        told = Problem.model_validate(self.body)
        kind = told.type.rpartition(":")[2]
        return ProblemError(
            told.status, kind, told.detail, errors=told.errors, suggestions=told.suggestions
        )


async def call(
    api: ASGIApp,
    outer: Scope,
    method: str,
    path: str,
    body: Any,
    *,
    headers: Mapping[str, str],
    query: Mapping[str, str],
) -> Answer:
    """Call a path below the API's prefix, from the connection of the outer request."""
    sent = b"" if body is None else json.dumps(body).encode()
    told = {**headers, "content-length": str(len(sent)), "content-type": "application/json"}
    full = API_PREFIX + path
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": outer["scheme"],
        "path": full,
        "raw_path": quote(full).encode(),
        "query_string": urlencode(query).encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in told.items()],
        "client": outer.get("client"),
        "server": outer.get("server"),
        "state": {},
    }
    taken = False
    status = 500
    parts: list[bytes] = []

    async def receive() -> Message:
        nonlocal taken
        if taken:
            return {"type": "http.disconnect"}
        taken = True
        return {"type": "http.request", "body": sent, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    await api(scope, receive, send)
    text = b"".join(parts)
    return Answer(status, json.loads(text) if text else None)
