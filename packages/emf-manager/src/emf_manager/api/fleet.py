"""Routes that read the fleet: nodes, sessions, data, the action catalogue; and ping."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from emf_manager.api import models as m
from emf_manager.api import translate
from emf_manager.api.data_stream import DataStream
from emf_manager.api.mandates import allow_nodes
from emf_manager.api.paging import (
    MAX_PAGE,
    Page,
    decode_cursor,
    encode_cursor,
    entity_tag,
    page,
    unchanged,
)
from emf_manager.api.problems import ProblemError
from emf_manager.api.service import Caller, Manager, Service
from emf_manager.api.targets import matching, targeted
from emf_manager.nodesets import full_names
from emf_manager.views import DataView, NotFoundError

__all__ = ["PageQuery", "chosen", "missing", "one_node", "router", "tagged"]

router = APIRouter()


class PageQuery(BaseModel):
    """What every list takes; an unknown parameter is a mistake and is named."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[str, Field(max_length=1024)] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100


class NodeQuery(PageQuery):
    nodes: m.NodeSetText | None = None
    exclude: m.NodeSetText | None = None
    state: Literal["connected", "silent", "never"] | None = None


class SessionQuery(PageQuery):
    nodes: m.NodeSetText | None = None
    daemon: Annotated[str, Field(max_length=255)] | None = None
    state: Annotated[str, Field(max_length=32)] | None = None


class DataQuery(PageQuery):
    nodes: m.NodeSetText | None = None
    daemon: Annotated[str, Field(max_length=255)] | None = None


class ActionQuery(PageQuery):
    nodes: m.NodeSetText | None = None


@router.get("/nodes", tags=["fleet"], response_model=Page[m.Node])
async def list_nodes(
    manager: Manager, query: Annotated[NodeQuery, Query()], request: Request
) -> Any:
    """List nodes, by name."""
    wanted = await chosen(manager, query.nodes, query.exclude)
    found = [
        node
        for node in await manager.engine.nodes()
        if (wanted is None or node.fqdn in wanted) and query.state in (None, node.state)
    ]
    cut, following = page(found, lambda n: (n.fqdn,), cursor=query.cursor, limit=query.limit)
    alerts = manager.alerts.counts()
    items = tuple(
        translate.node(node, manager.now(), alerts=alerts.get(node.fqdn, 0)) for node in cut
    )
    return tagged(request, Page[m.Node](items=items, next=following), stable(items), following)


@router.get("/nodes/{fqdn}", tags=["fleet"], response_model=m.NodeDetail)
async def show_node(manager: Manager, fqdn: str, request: Request) -> Any:
    """Show one node: contact, sessions, plugins, certificates, the last jobs on it."""
    node = await described(manager, await one_node(manager, fqdn))
    return tagged(request, node, stable([node]))


@router.post("/nodes/{fqdn}/approve", tags=["fleet"], status_code=204)
async def approve_node(manager: Manager, caller: Caller, fqdn: str) -> Response:
    """Let a node speak that enrolled with a token which asks for approval."""
    name = await one_node(manager, fqdn)
    await manager.engine.approve_node(name, requester=f"user:{caller.user}")
    return Response(status_code=204)


@router.post("/nodes/{fqdn}/revoke", tags=["fleet"], response_model=m.Revoked)
async def revoke_node(
    manager: Manager, caller: Caller, fqdn: str, body: m.NodeReason | None = None
) -> Any:
    """Revoke a node's certificates: it is refused at once, and has to be enrolled again."""
    name = await one_node(manager, fqdn)
    reason = (body or m.NodeReason()).reason
    count = await manager.engine.revoke_node(name, requester=f"user:{caller.user}", reason=reason)
    return m.Revoked(fqdn=name, certificates=count)


@router.delete("/nodes/{fqdn}", tags=["fleet"], status_code=204)
async def remove_node(
    manager: Manager, caller: Caller, fqdn: str, query: Annotated[m.NodeReason, Query()]
) -> Response:
    """Remove a node: certificates revoked, sessions and values gone, open actions unknown."""
    name = await one_node(manager, fqdn)
    await manager.engine.remove_node(name, requester=f"user:{caller.user}", reason=query.reason)
    return Response(status_code=204)


@router.get("/sessions", tags=["fleet"], response_model=Page[m.Session])
async def list_sessions(manager: Manager, query: Annotated[SessionQuery, Query()]) -> Any:
    """List sessions, by node and daemon."""
    wanted = await chosen(manager, query.nodes, None)
    found = [
        session
        for session in await manager.engine.sessions(daemon=query.daemon)
        if (wanted is None or session.node in wanted) and query.state in (None, session.state)
    ]
    cut, following = page(
        found, lambda s: (s.node, s.daemon), cursor=query.cursor, limit=query.limit
    )
    return Page[m.Session](items=tuple(map(translate.session, cut)), next=following)


@router.get("/data", tags=["fleet"], response_model=Page[m.DataItem])
async def list_data(manager: Manager, query: Annotated[DataQuery, Query()]) -> Any:
    """List the latest values of nodes, by node and daemon."""
    names = await chosen(manager, query.nodes, None)
    if names is None:
        names = frozenset(node.fqdn for node in await manager.engine.roll())
    after = None if query.cursor is None else decode_cursor(query.cursor, str, str)
    found: list[m.DataItem] = []
    for name in sorted(names):
        if after is not None and name < str(after[0]):
            continue
        for view in sorted(await manager.engine.latest_all(name), key=lambda d: d.daemon):
            if query.daemon not in (None, view.daemon):
                continue
            if after is None or (view.node, view.daemon) > after:
                found.append(translate.data(view))
        if len(found) > query.limit:
            break
    cut = tuple(found[: query.limit])
    more = len(found) > query.limit
    following = encode_cursor((cut[-1].node, cut[-1].daemon)) if more else None
    return Page[m.DataItem](items=cut, next=following)


@router.get("/data/{fqdn}/{daemon}", tags=["fleet"], response_model=m.DataItem)
async def show_data(manager: Manager, fqdn: str, daemon: str, request: Request) -> Any:
    """Show the latest value of one daemon on one node, with how old it is."""
    item = translate.data(await latest(manager, await one_node(manager, fqdn), daemon))
    return tagged(request, item, item.session_id, item.sequence, item.as_of, item.stale)


@router.get(
    "/data/{fqdn}/{daemon}/stream",
    tags=["fleet"],
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_data(
    manager: Manager,
    fqdn: str,
    daemon: str,
    last_event_id: Annotated[str | None, Header(max_length=512)] = None,
) -> DataStream:
    """Stream the latest value of one daemon on one node: now, and whenever it has changed."""
    view = await latest(manager, await one_node(manager, fqdn), daemon)
    return DataStream(manager.engine, view.node, view.daemon, seen=last_event_id)


@router.get("/actions", tags=["actions"], response_model=Page[m.Action])
async def list_actions(
    manager: Manager, query: Annotated[ActionQuery, Query()], request: Request
) -> Any:
    """List the action catalogue, by name."""
    among = await chosen(manager, query.nodes, None)
    found = await actions(manager, among)
    cut, following = page(found, lambda a: (a.name,), cursor=query.cursor, limit=query.limit)
    return tagged(request, Page[m.Action](items=cut, next=following), cut, following)


@router.get("/actions/{name}", tags=["actions"], response_model=m.Action)
async def show_action(manager: Manager, name: str, request: Request) -> Any:
    """Show one action: its schemas, and which nodes have it."""
    catalogue = await actions(manager, None)
    found = next((action for action in catalogue if action.name == name), None)
    if found is None:
        raise missing("action", name, [action.name for action in catalogue])
    return tagged(request, found, found)


@router.post("/ping", tags=["fleet"], response_model=m.PingAnswer)
async def ping(manager: Manager, caller: Caller, body: m.PingRequest) -> Any:
    """Ask nodes for a sign of life now; the answer comes when all did, or at the timeout."""
    names = await targeted(manager, body.nodes, body.exclude, body.facts)
    allow_nodes(caller, names)
    results = await manager.engine.ping(names, timeout_s=body.timeout_s)
    return m.PingAnswer(results=tuple(map(translate.ping, results)))


async def described(manager: Service, name: str) -> m.NodeDetail:
    """Return one node with what its agent reports, and what is on file about it."""
    view = await manager.engine.node(name)
    file = await manager.engine.node_file(name)
    try:
        report = (await manager.engine.latest(name, "agent")).value
    except NotFoundError:
        report = None
    alerts = manager.alerts.counts().get(name, 0)
    return translate.node_detail(view, report, file, manager.now(), alerts=alerts)


async def chosen(manager: Service, nodes: str | None, exclude: str | None) -> frozenset[str] | None:
    """Return the nodes a filter means; None where there is no filter."""
    if nodes is None and exclude is None:
        return None
    return frozenset(await matching(manager, nodes, exclude))


async def one_node(manager: Service, name: str) -> str:
    """Return the full name of one node.

    Raises:
        ProblemError: there is none.

    """
    known = full_names([node.fqdn for node in await manager.engine.roll()])
    found = known.get(name)
    if found is None:
        raise missing("node", name, known)
    return found


async def latest(manager: Service, name: str, daemon: str) -> DataView:
    """Return the last value of a daemon.

    Raises:
        ProblemError: there is none.

    """
    try:
        return await manager.engine.latest(name, daemon)
    except NotFoundError as error:
        known = [view.daemon for view in await manager.engine.latest_all(name)]
        raise missing(f"data of {name} for the daemon", daemon, known) from error


async def actions(manager: Service, among: frozenset[str] | None) -> list[m.Action]:
    """Return the catalogue of these nodes."""
    entries = [translate.action(entry, among) for entry in await manager.engine.catalogue()]
    return [action for action in entries if action is not None]


def missing(what: str, name: str, known: Iterable[str]) -> ProblemError:
    """Return the problem for a name that nothing has, with the names it may have meant."""
    near = difflib.get_close_matches(name[:255], list(known), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return ProblemError(
        404, "not-found", f"there is no {what} {name[:255]!r}{hint}", suggestions=near
    )


def tagged(request: Request, answer: BaseModel, *parts: object) -> Response:
    """Return the answer with its entity tag, or 304 where the caller has it already."""
    tag = entity_tag(*parts)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    return unchanged(request, tag) or Response(
        answer.model_dump_json(), media_type="application/json", headers=headers
    )


def stable(nodes: Iterable[m.Node]) -> list[m.Node]:
    """Return nodes without what differs at each look."""
    return [node.model_copy(update={"age_s": None, "last_contact": None}) for node in nodes]
