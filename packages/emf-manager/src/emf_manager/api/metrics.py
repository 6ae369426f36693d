"""The route that Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from emf_manager.api.service import Manager
from emf_manager.exposition import CONTENT_TYPE, exposed

__all__ = ["router"]

router = APIRouter(tags=["manager"])


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": "emf_manager_nodes 16\n"}}}},
)
async def metrics(manager: Manager) -> Response:
    """Show what the manager counts of the fleet and of itself, for Prometheus."""
    return Response(exposed(await manager.metrics.families()), media_type=CONTENT_TYPE)
