"""A tab that is watched: what its page complains of fails the test."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Response

__all__ = ["Watched", "overflow"]

IMPATIENT_MS = 60_000
"""A bound on what should take a moment: these machines are shared."""


class Watched:
    """A tab, and everything that went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.allowed: set[int] = set()
        """Statuses of failure that the test asks for."""
        page.set_default_timeout(IMPATIENT_MS)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        # A failed request is judged by its status, below.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(f"console: {message.text}")

    def _answered(self, answer: Response) -> None:
        if answer.status >= 400 and answer.status not in self.allowed:
            self.complaints.append(f"{answer.status} {answer.url}")

    def check(self) -> None:
        """Fail where something went wrong."""
        assert self.complaints == []


def overflow(page: Page) -> Any:
    """Return what sticks out to the right of the window; nothing should."""
    return page.evaluate(
        """() => {
          const width = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= width) return [];
          const sticksOut = (e) => e.getBoundingClientRect().right > width + 1;
          return [...document.querySelectorAll("main *, header *")]
            .filter((e) => sticksOut(e) && !e.closest(".scroll, nav"))
            .map((e) => e.outerHTML.slice(0, 120));
        }"""
    )
