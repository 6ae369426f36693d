"""Routes of labels: what an admin says of a node, read and replaced as a whole."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from emf_manager.api import label_models as m
from emf_manager.api.fleet import one_node, tagged
from emf_manager.api.paging import IfMatch, check_match, entity_tag
from emf_manager.api.service import Caller, Manager, Service

__all__ = ["router"]

router = APIRouter(tags=["fleet"])


@router.get("/nodes/{fqdn}/labels", response_model=m.Labels)
async def show_labels(manager: Manager, fqdn: str, request: Request) -> Any:
    """Show the labels of a node."""
    found = await labels_of(manager, fqdn)
    return tagged(request, found, found)


@router.put("/nodes/{fqdn}/labels", response_model=m.Labels)
async def put_labels(
    manager: Manager,
    caller: Caller,
    fqdn: str,
    body: m.LabelsRequest,
    request: Request,
    if_match: IfMatch = None,  # noqa: ARG001 - for the document; check_match reads it
) -> Any:
    """Give a node these labels in place of those it has; its groups and facts follow at once."""
    async with manager.turn:
        before = await labels_of(manager, fqdn)
        check_match(request, entity_tag(before))
        await manager.engine.label_node(before.fqdn, body.labels, requester=f"user:{caller.user}")
        found = await labels_of(manager, before.fqdn)
    return JSONResponse(found.model_dump(mode="json"), headers={"ETag": entity_tag(found)})


async def labels_of(manager: Service, fqdn: str) -> m.Labels:
    """Return the labels of a node.

    Raises:
        ProblemError: there is none.

    """
    view = await manager.engine.node(await one_node(manager, fqdn))
    return m.Labels(fqdn=view.fqdn, labels=dict(sorted(view.labels.items())))
