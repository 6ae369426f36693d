"""The page of one node: who it is, how it stands, what it runs and says; and what admins decide."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from emf_manager import views as v
from emf_manager.api import alert_models, translate
from emf_manager.api import models as m
from emf_manager.api.alerts import shown
from emf_manager.api.fleet import described, one_node
from emf_manager.store.alert_rows import AlertFilter
from emf_manager.web.curves import Series, Sparkline, sparkline
from emf_manager.web.fleet_map import tiles
from emf_manager.web.pages import UI, Page, Visit
from emf_manager.web.panels.blocks import Block, Facts, Log
from emf_manager.web.panels.choice import panels_of

__all__ = ["PAGES"]

ALERTS_SHOWN = 20
CURVES_SHOWN = 12
PER_DAEMON = 4
"""Series of one daemon that are drawn here; its own page has them all."""
HOUR_S = 3600.0
POINTS = 60
LINES = 12
"""Of the log."""
DAY_S = 86400.0
CERTIFICATE_DAYS = 7
"""A certificate with less left is marked."""


async def show(visit: Visit) -> Response:
    """Show one node."""
    service = visit.service
    fqdn = await one_node(service, visit.request.path_params["fqdn"])
    node = await described(service, fqdn)
    entry = v.RollEntry(fqdn, node.role, node.state, node.waiting, last_contact=None)
    values = {one.daemon: one for one in await service.engine.latest_all(fqdn)}
    good = [one for one in node.certificates if one.revoked is None]
    return visit.page(
        "node.html",
        node=node,
        standing=tiles([entry], {fqdn: node.alerts})[0].standing,
        certificate=good[0] if good else None,
        days=(good[0].not_after.timestamp() - service.now()) / DAY_S if good else None,
        short_days=CERTIFICATE_DAYS,
        sessions=[translate.session(one) for one in await service.engine.sessions(node=fqdn)],
        values={name: translate.data(one) for name, one in values.items()},
        alerts=await current_alerts(visit, fqdn),
        curves=await key_curves(visit, fqdn, sorted(values)),
        blocks=[block for name in ("host", "journal") for block in key_blocks(name, values)],
        actions=await actions_of(visit, fqdn),
    )


async def current_alerts(visit: Visit, fqdn: str) -> list[alert_models.Alert]:
    """Return the alerts of a node that are not over."""
    which = AlertFilter(state="current", nodes=frozenset({fqdn}), kind=None, severity=None)
    found = await visit.service.alerts.listed(which, before=None, limit=ALERTS_SHOWN)
    return list(map(shown, found))


async def key_curves(
    visit: Visit, fqdn: str, daemons: list[str]
) -> list[tuple[str, str, Sparkline]]:
    """Return some series of the last hour: daemon, name and curve."""
    found: list[tuple[str, str, Sparkline]] = []
    now = visit.service.now()
    for daemon in daemons:
        known = await visit.service.history.series(fqdn, daemon)
        if not known or len(found) >= CURVES_SHOWN:
            continue
        read = await visit.service.history.read(
            fqdn, daemon, known[:PER_DAEMON], start=now - HOUR_S, end=now, points=POINTS
        )
        for one in read.series:
            points = tuple(
                (read.start + number * read.step, None if bucket is None else bucket.mean)
                for number, bucket in enumerate(one.buckets)
            )
            curve = sparkline(Series(one.name, one.mark.kind, one.mark.unit, points))
            if curve is not None:
                found.append((daemon, one.name, curve))
    return found[:CURVES_SHOWN]


def key_blocks(daemon: str, values: dict[str, v.DataView]) -> list[Block]:
    """Return of a daemon's panels what says most in little room: facts, and the end of a log."""
    if daemon not in values:
        return []
    blocks: list[Block] = []
    for block in panels_of(daemon, values[daemon].value, {}):
        if isinstance(block, Facts):
            blocks.append(block)
        elif isinstance(block, Log):
            blocks.append(Log(block.title, block.lines[-LINES:]))
    return blocks[:2]


async def actions_of(visit: Visit, fqdn: str) -> list[m.Action]:
    """Return the actions that a node has."""
    among = frozenset({fqdn})
    found = [translate.action(one, among) for one in await visit.service.engine.catalogue()]
    return [one for one in found if one is not None]


async def approve(visit: Visit) -> Response:
    """Let a node speak that waits for it."""
    fqdn = visit.request.path_params["fqdn"]
    await visit.call("POST", f"/nodes/{fqdn}/approve")
    return visit.go(address(fqdn))


async def revoke(visit: Visit) -> Response:
    """Take a node's certificates away."""
    fqdn = visit.request.path_params["fqdn"]
    await visit.call("POST", f"/nodes/{fqdn}/revoke", {"reason": visit.value("reason")})
    return visit.go(address(fqdn))


async def remove(visit: Visit) -> Response:
    """Forget a node."""
    fqdn = visit.request.path_params["fqdn"]
    await visit.call("DELETE", f"/nodes/{fqdn}", reason=visit.value("reason"))
    return visit.go(f"{UI}/")


async def ping(visit: Visit) -> Response:
    """Ask a node for a sign of life, and show it again."""
    fqdn = visit.request.path_params["fqdn"]
    await visit.call("POST", "/ping", {"nodes": fqdn, "timeout_s": 3.0})
    return visit.go(address(fqdn))


def address(fqdn: str) -> str:
    return f"{UI}/nodes/{quote(fqdn, safe='')}"


PAGES = (
    Page("/nodes/{fqdn}", "read", show),
    Page("/nodes/{fqdn}/approve", "administer", approve, methods=("POST",)),
    Page("/nodes/{fqdn}/revoke", "administer", revoke, methods=("POST",)),
    Page("/nodes/{fqdn}/remove", "administer", remove, methods=("POST",)),
    Page("/nodes/{fqdn}/ping", "operate", ping, methods=("POST",)),
)
