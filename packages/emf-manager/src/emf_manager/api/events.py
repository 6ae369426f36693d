"""Routes of events: what happened since a number, and a stream of what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from emf_manager.api import models as m
from emf_manager.api import translate
from emf_manager.api.event_stream import EventStream
from emf_manager.api.fleet import PageQuery
from emf_manager.api.paging import Page, decode_cursor, encode_cursor
from emf_manager.api.problems import FieldFault, ProblemError
from emf_manager.api.service import Manager, Service

__all__ = ["router"]

router = APIRouter(tags=["events"])

LOOKED_AT = 10_000
"""Stored events looked through for one page of a filtered list, which may come out short."""
STRETCH = 500
CONTACT = {"node.silent", "node.online"}
Text = Annotated[str, Field(max_length=255)]
Sequence = Annotated[int, Field(ge=0, lt=2**63)]


class EventFilter(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Text | None = Field(default=None, description="Only this kind, such as job.target.")
    job: Text | None = Field(
        default=None, description="Only events of this job, and contact with its nodes."
    )
    node: Text | None = Field(default=None, description="Only events of this node.")
    plan: Text | None = Field(default=None, description="Only events of this plan.")

    async def test(self, manager: Service) -> Callable[[m.Event], bool]:
        """Return the predicate that it amounts to.

        Raises:
            NotFoundError: there is no such job.

        """
        of_job: frozenset[str] = frozenset()
        if self.job is not None:
            of_job = frozenset(t.node for t in (await manager.engine.job(self.job)).targets)

        def wanted(event: m.Event) -> bool:
            contact = event.kind in CONTACT and event.node in of_job
            return (
                self.kind in (None, event.kind)
                and self.node in (None, event.node)
                and (self.job in (None, event.job) or contact)
                and (self.plan is None or plan_of(event) == self.plan)
            )

        return wanted


def plan_of(event: m.Event) -> object:
    return event.body.get("plan") if isinstance(event.body, dict) else None


class EventQuery(EventFilter, PageQuery):
    after: Sequence = 0


class StreamQuery(EventFilter):
    after: Sequence | None = Field(default=None, description="Start after it; else from now.")


@router.get("/events", response_model=Page[m.Event])
async def list_events(manager: Manager, query: Annotated[EventQuery, Query()]) -> Any:
    """List stored events after a sequence number, oldest first."""
    test = await query.test(manager)
    after = query.after if query.cursor is None else int(decode_cursor(query.cursor, int)[0])
    newest = await manager.engine.last_event()
    found: list[m.Event] = []
    until = after + LOOKED_AT
    while after < min(newest, until) and len(found) < query.limit:
        views = await manager.engine.events(after=after, limit=STRETCH)
        if not views:
            break
        for view in views:
            after = view.sequence
            event = translate.event(view)
            if test(event):
                found.append(event)
            if len(found) == query.limit:
                break
    following = encode_cursor((after,)) if after < newest else None
    return Page[m.Event](items=tuple(found), next=following)


@router.get(
    "/events/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_events(
    manager: Manager,
    query: Annotated[StreamQuery, Query()],
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventStream:
    """Stream events as server-sent events; ``Last-Event-ID`` resumes after that event."""
    after = query.after
    if last_event_id:
        if not last_event_id.isdecimal() or len(last_event_id) > 18:
            fault = FieldFault(
                field="header.Last-Event-ID", expected="a sequence number", got="another text"
            )
            raise ProblemError(422, "invalid", "Last-Event-ID is not a number", errors=[fault])
        after = int(last_event_id)
    return EventStream(manager.engine, after=after, wanted=await query.test(manager))
