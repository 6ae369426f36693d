"""What a first look costs: all of it together, as it is sent, stays small."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.manager.api.fakes import node_view
from tests.manager.web.conftest import Browser, Site

pytestmark = pytest.mark.anyio

MOST_BYTES = 300 * 1024
MODULES = re.compile(r'(?:from|^import) "\./([^"]+)"', re.MULTILINE)


async def sent(browser: Browser, path: str) -> tuple[str, int]:
    """Return what is at a path, and how many bytes it took."""
    async with browser.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.status_code == 200, path
        text = (await answer.aread()).decode()
        return text, answer.num_bytes_downloaded


@pytest.mark.parametrize("count", [8, 5000])
async def test_a_first_look_at_the_fleet_stays_below_300_kib(site: Site, count: int) -> None:
    name = "client{:04}.example.com".format
    one = replace(node_view(name(0)), role="client")
    site.engine.views = {name(at): replace(one, fqdn=name(at)) for at in range(count)}
    browser = site.browser()
    await browser.sign_in()

    page, total = await sent(browser, "/ui/")
    waiting = set(re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', page))
    seen: set[str] = set()
    while waiting - seen:
        address = (waiting - seen).pop()
        seen.add(address)
        text, size = await sent(browser, address)
        total += size
        waiting |= {f"{address.rpartition('/')[0]}/{other}" for other in MODULES.findall(text)}

    assert len(seen) >= 6
    assert total < MOST_BYTES


async def test_files_are_kept_for_ever_and_an_old_version_is_gone(site: Site) -> None:
    browser = site.browser()
    page = (await browser.get("/ui/login")).text
    address = re.findall(r'href="(/ui/static/[^"]+\.css)"', page)[0]

    here = await browser.get(address)
    old = await browser.get(re.sub(r"/static/\w+/", "/static/0123/", address))
    outside = await browser.get(address.rpartition("/")[0] + "/../../pages.py")

    assert "immutable" in here.headers["cache-control"]
    assert (old.status_code, outside.status_code) == (404, 404)
