"""The page of a daemon: its value and its past, and how sure both are."""

from __future__ import annotations

from typing import Any

import pytest

from emf_manager import views as v
from emf_manager.history.book import SeriesView
from emf_manager.series import Mark
from tests.manager.api.fakes import NOW
from tests.manager.web.conftest import Site
from tests.manager.web.payloads import PAYLOADS

pytestmark = pytest.mark.anyio

NODE = "oss01.example.com"
RX = "network_interfaces[eth0].stats.rx.bytes"


def say(site: Site, daemon: str, value: Any, *, stale: bool = False, age_s: float = 3.0) -> None:
    site.engine.values[NODE, daemon] = v.DataView(
        NODE, daemon, "s1", 3, NOW - age_s, age_s, stale=stale, value=value
    )


async def page_of(site: Site, daemon: str, query: str = "") -> str:
    browser = site.browser()
    await browser.sign_in("viewer")
    answer = await browser.get(f"/ui/nodes/{NODE}/daemons/{daemon}{query}")
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize("daemon", PAYLOADS)
async def test_each_daemon_has_a_page(site: Site, daemon: str) -> None:
    say(site, daemon, PAYLOADS[daemon])

    page = await page_of(site, daemon)

    assert f"<h1>{daemon}</h1>" in page
    assert "3 s ago" in page
    assert "value number 3" in page


async def test_a_stale_value_says_so(site: Site) -> None:
    say(site, "ntp", "Synced", stale=True, age_s=7200)

    page = await page_of(site, "ntp")

    assert "stale: it may no longer hold" in page
    assert "2 h 0 min ago" in page


async def test_what_is_kept_over_time_is_drawn(site: Site) -> None:
    say(site, "network", PAYLOADS["network"])
    site.history.kept[NODE, "network"] = (
        SeriesView(RX, Mark("counter", "bytes"), 2.0, NOW),
        SeriesView("not shown", Mark("gauge", "bytes"), 2.0, NOW),
    )

    page = await page_of(site, "network", "?span=6%20h")

    (asked,) = site.history.asked
    assert asked[:5] == (NODE, "network", [RX], NOW - 21600, NOW)
    assert '<a href="?span=6%20h" aria-current="page">' in page


async def test_series_of_a_third_party_are_charts(site: Site) -> None:
    say(site, "uptime", PAYLOADS["uptime"])
    site.history.kept[NODE, "uptime"] = (SeriesView("seconds", Mark("gauge", "s"), 2.0, NOW),)

    await page_of(site, "uptime", "?span=odd")

    assert site.history.asked[0][2] == ["seconds"]


async def test_a_huge_value_is_not_shown_as_it_came(site: Site) -> None:
    say(site, "uptime", ["x" * 100] * 3000)

    assert "It is too long for a page" in await page_of(site, "uptime")
