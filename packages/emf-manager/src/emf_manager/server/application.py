"""The one ASGI application: agents, enrolment, operators and the page, told apart by path."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from emf_manager.alert_book import AlertBook
from emf_manager.api.account_book import AccountBook
from emf_manager.api.answers import AnswerBook
from emf_manager.api.application import build_api
from emf_manager.api.pace import Pace
from emf_manager.api.plan_orders import PlanOrders
from emf_manager.api.service import Service
from emf_manager.authorization import API_PREFIX
from emf_manager.callers import Caller
from emf_manager.engine import Engine
from emf_manager.fleet_metrics import FleetMetrics
from emf_manager.gateway import gateway_routes
from emf_manager.history.book import HistoryBook
from emf_manager.identity.authorities import Authorities
from emf_manager.identity.membership import Membership
from emf_manager.identity.peer import Peer, peer_of
from emf_manager.identity.registrar import Registrar
from emf_manager.identity.routes import identity_routes
from emf_manager.logins.book import LoginBook
from emf_manager.mailboxes.routes import mailbox_routes
from emf_manager.mailboxes.shelf import Shelf
from emf_manager.plan_book import PlanBook
from emf_manager.records import Node
from emf_manager.safe import Safe
from emf_manager.store.sql import SqlStore
from emf_manager.web.application import build_web
from emf_manager.web.pages import UI

__all__ = ["EngineFleet", "create_app"]

logger = logging.getLogger(__name__)

METRICS = "/metrics"
"""Where Prometheus looks unless it is told otherwise; the API has it under its own prefix."""


def create_app(
    engine: Engine,
    store: SqlStore,
    alerts: AlertBook,
    history: HistoryBook,
    plans: PlanBook,
    authorities: Callable[[], Authorities],
    membership: Membership,
    shelf: Shelf,
    pace: Pace,
    safe: Safe,
) -> ASGIApp:
    """Return the application of a manager whose parts are open."""
    registrar = Registrar(store, authorities, membership)
    accounts = AccountBook(store, lambda: authorities().issuing.fingerprint)
    logins = LoginBook(store, accounts)
    metrics = FleetMetrics(engine, store, alerts, history)
    service = Service(engine, accounts, alerts, history, metrics, plans)
    plans.connect(PlanOrders(service, store.users))
    answers = AnswerBook(store.answers, safe)
    api = build_api(service, visit=logins.visit, pace=pace, answers=answers)
    web = build_web(service, api, logins)
    peers = Peers(membership)
    agents = Starlette(
        routes=[
            *gateway_routes(engine, peers, lambda: authorities().fingerprints),
            *mailbox_routes(shelf, peers),
            *identity_routes(registrar),
        ]
    )
    agents.router.redirect_slashes = False
    return ByPath(api, web, agents)


@dataclass(frozen=True)
class ByPath:
    """Operators' paths go to the guarded API or the page, everything else to the agents' routes."""

    api: ASGIApp
    web: ASGIApp
    agents: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == METRICS:
            scope = {**scope, "path": API_PREFIX + METRICS, "raw_path": None}
        await self._at(scope)(scope, receive, send)

    def _at(self, scope: Scope) -> ASGIApp:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(f"{API_PREFIX}/"):
            return self.api
        return self.web if path in {"/", UI} or path.startswith(f"{UI}/") else self.agents


@dataclass(frozen=True)
class Peers:
    """What the gateway asks of identity."""

    membership: Membership

    def peer_of(self, scope: MutableMapping[str, Any]) -> Peer | None:
        """Return the verified peer; one whose certificate ended while it was connected is none."""
        peer = peer_of(scope)
        return None if peer is None or peer.not_after <= time.time() else peer

    def refusal(self, caller: Caller) -> str | None:
        """Return why a caller must be refused; None where it may speak."""
        return self.membership.refusal(caller)


@dataclass(frozen=True)
class EngineFleet:
    """Tells the engine of names that come and go."""

    engine: Engine

    async def enrolled(self, node: Node) -> None:
        """Have the node start with nothing of what an earlier one of its name had."""
        await self.engine.seats.dismiss(node.fqdn)

    async def nudge(self, fqdn: str) -> None:
        """Have its hanging request end."""
        await self.engine.nudge(fqdn)

    async def removed(self, fqdn: str, reason: str) -> None:
        """Have its hanging request end, and its next one refused."""
        logger.info("node dropped fqdn=%s reason=%s", fqdn, reason)
        await self.engine.seats.dismiss(fqdn)
