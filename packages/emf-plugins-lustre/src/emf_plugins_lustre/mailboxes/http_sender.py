"""Carry chunks by HTTPS: the one door to the manager for lines, the only import of httpx here.

``POST /mailbox/`` and ``POST /report/`` are the ancestor's (section 6 of its protocol); 201 is its
acknowledgement. Beside its one header, ours say which stream and which lines these are; a manager
that knows them answers ``EMF-Protocol: 2`` and ``{"next_offset": 12, "rejected": 0}``, with 409
where the chunk does not join what it has.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emf_agent.errors import ConfigurationError, ManagerRefusedError, ManagerUnreachableError
from emf_plugins_lustre.mailboxes.connection import ManagerConnection
from emf_plugins_lustre.mailboxes.sender import (
    Address,
    Chunk,
    ChunkTooLargeError,
    Receipt,
    UnknownMailboxError,
)

__all__ = ["HttpMailboxSender", "open_sender"]

PROTOCOL = {"EMF-Protocol": "2"}
WHY_CHARS = 300
AGAIN_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class Answer(BaseModel):
    """A manager's answer; it may say more one day."""

    model_config = ConfigDict(extra="ignore", strict=True)

    next_offset: Annotated[int, Field(ge=0)]
    rejected: Annotated[int, Field(ge=0)] = 0


class HttpMailboxSender:
    """Sends over one client, which all streams of its life share (W-T4)."""

    def __init__(self, client: httpx.AsyncClient, base_url: str) -> None:
        self._client = client
        self._base_url = base_url

    async def send(self, address: Address, chunk: Chunk) -> Receipt:
        """Post a chunk; see :class:`emf_plugins_lustre.mailboxes.sender.MailboxSender`."""
        url = f"{self._base_url}/{address.kind}/"
        headers = {
            **PROTOCOL,
            f"{address.kind}-message-name": address.name,
            f"{address.kind}-stream": chunk.stream_id,
            f"{address.kind}-offset": str(chunk.offset),
            "content-type": "application/x-ndjson",
        }
        if chunk.last:
            headers[f"{address.kind}-end"] = "1"
        body = b"".join(line + b"\n" for line in chunk.lines)
        try:
            response = await self._client.post(url, content=body, headers=headers)
        except (httpx.TransportError, ssl.SSLError, OSError) as error:
            raise ManagerUnreachableError(url, str(error) or type(error).__name__) from error
        return receipt_of(response, address, chunk)


def receipt_of(response: httpx.Response, address: Address, chunk: Chunk) -> Receipt:
    """Read an answer."""
    status, url = response.status_code, str(response.request.url)
    why = response.text[:WHY_CHARS]
    knows_streams = response.headers.get("EMF-Protocol") == PROTOCOL["EMF-Protocol"]
    if status == HTTPStatus.CREATED and not knows_streams:
        return Receipt(chunk.offset + len(chunk.lines), resumable=False)
    if status in {HTTPStatus.CREATED, HTTPStatus.CONFLICT} and knows_streams:
        try:
            answer = Answer.model_validate_json(response.content)
        except ValidationError as error:
            raise ManagerRefusedError(
                url, status, f"an answer without next_offset: {why}"
            ) from error
        return Receipt(answer.next_offset, answer.rejected)
    if status == HTTPStatus.NOT_FOUND:
        raise UnknownMailboxError(address)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise ChunkTooLargeError(f"{url} takes no {len(chunk.lines)} lines at once")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in AGAIN_LATER:
        raise ManagerUnreachableError(url, f"status {status}: {why}")
    raise ManagerRefusedError(url, status, why)


@asynccontextmanager
async def open_sender(connection: ManagerConnection) -> AsyncGenerator[HttpMailboxSender, None]:
    """Give a sender for as long as the ``async with`` lasts.

    Raises ConfigurationError where no address is configured, or the identity cannot be read.
    """
    if connection.url is None:
        example = 'manager = { url = "https://manager.example" }'
        raise ConfigurationError(
            [f"manager.url: no address for lines; set it in the plugin's table, as in {example}"]
        )
    async with httpx.AsyncClient(
        verify=connection.tls(), timeout=connection.answer_within_s, trust_env=False
    ) as client:
        yield HttpMailboxSender(client, connection.url)
