"""Every page there is, in the order of the bar on top."""

from __future__ import annotations

from emf_manager.web import (
    access,
    account,
    actions,
    alerts,
    audit,
    daemons,
    events,
    fleet,
    jobs,
    node,
    plans,
)
from emf_manager.web.pages import Page

__all__ = ["PAGES"]

PAGES: tuple[Page, ...] = (
    *fleet.PAGES,
    *node.PAGES,
    *daemons.PAGES,
    *actions.PAGES,
    *jobs.PAGES,
    *plans.PAGES,
    *alerts.PAGES,
    *events.PAGES,
    *audit.PAGES,
    *access.PAGES,
    *account.PAGES,
)
