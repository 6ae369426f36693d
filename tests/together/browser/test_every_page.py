"""Every page in a real browser: light, dark, on a phone, without scripts; nobody complains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from emf_manager.web.pages import UI
from emf_manager.web.rooms import PAGES
from tests.together.browser.conftest import NODE, Town
from tests.together.browser.watched import Watched, overflow

pytestmark = pytest.mark.slow("a manager, an agent and a browser are started")

FILLED = {"fqdn": NODE, "daemon": "agent", "name": "start_unit"}


def addresses() -> list[str]:
    """Return the pages that are there without anything having been done."""
    found = []
    for page in PAGES:
        names = {part[1:-1] for part in page.path.split("/") if part.startswith("{")}
        if "GET" in page.methods and names <= FILLED.keys():
            found.append(UI + page.path.format_map(FILLED))
    return found


LOOKS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((1280, "light"), (360, "dark"))


def test_every_page_shows_itself_without_complaint(tab: Watched) -> None:
    for address in addresses():
        answer = tab.page.goto(address)
        assert answer is not None
        if answer.status == 404 and "start_unit" in address:
            tab.complaints.clear()  # this bundle has no such action
            continue
        assert answer.status == 200, address
        assert tab.page.locator("h1").count() == 1, address
        for width, scheme in LOOKS:
            tab.page.emulate_media(color_scheme=scheme)
            tab.page.set_viewport_size({"width": width, "height": 740})
            assert overflow(tab.page) == [], (address, width)
            ground = tab.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            dark = sum(map(int, ground[4:-1].split(","))) < 200
            assert dark is (scheme == "dark"), address


def test_every_page_can_be_read_without_scripts(open_tab: Callable[..., Watched]) -> None:
    tab = open_tab(java_script_enabled=False)

    tab.page.goto("/ui/")
    assert tab.page.get_by_role("link", name="oss01").first.is_visible()
    tab.page.get_by_role("link", name="oss01").first.click()
    assert tab.page.locator("h1").inner_text() == NODE


def test_the_policy_stops_a_script_that_got_into_a_page(tab: Watched) -> None:
    tab.page.goto("/ui/")

    ran = tab.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          return window.ran === true;
        }"""
    )

    assert not ran
    assert any("Content Security Policy" in said for said in tab.complaints)
    tab.complaints.clear()


def test_nothing_is_fetched_from_elsewhere(tab: Watched, town: Town) -> None:
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))

    tab.page.goto("/ui/")
    tab.page.goto(f"/ui/nodes/{NODE}")

    assert asked
    assert all(url.startswith(f"{town.manager.url}/") for url in asked)
