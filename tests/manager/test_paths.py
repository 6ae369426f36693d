"""Where a path leads (R15): whatever an operator may call goes through the guarded API."""

from __future__ import annotations

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from emf_manager.authorization import ROUTES
from emf_manager.server.application import ByPath

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("path", "building", "seen"),
    [
        ("/metrics", "api", "/api/v1/metrics"),
        ("/api/v1/metrics", "api", "/api/v1/metrics"),
        ("/api/v1/", "api", "/api/v1/"),
        ("/metrics/", "agents", "/metrics/"),
        ("/api/v1", "agents", "/api/v1"),
        ("/API/v1/jobs", "agents", "/API/v1/jobs"),
        ("/", "web", "/"),
        ("/ui", "web", "/ui"),
        ("/ui/jobs", "web", "/ui/jobs"),
        ("/uix", "agents", "/uix"),
        *((f"/api/v1{row.path}", "api", f"/api/v1{row.path}") for row in ROUTES),
    ],
)
async def test_a_path_leads_to_one_building(path: str, building: str, seen: str) -> None:
    reached: list[tuple[str, str]] = []

    def named(name: str) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            del receive, send
            reached.append((name, scope["path"]))

        return app

    async def nothing(*_: object) -> None: ...

    apps = ByPath(named("api"), named("web"), named("agents"))
    await apps({"type": "http", "path": path, "method": "GET"}, nothing, nothing)  # type: ignore[arg-type]

    assert reached == [(building, seen)]
