"""Every page there is, in the order of the bar on top."""

from __future__ import annotations

from emf_manager.web import account, fleet
from emf_manager.web.pages import Page

__all__ = ["PAGES"]

PAGES: tuple[Page, ...] = (
    *fleet.PAGES,
    *account.PAGES,
)
