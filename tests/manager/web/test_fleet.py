"""The fleet's pages: the map, the table, the filter, and what the search field leads to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.manager.api.fakes import node_view
from tests.manager.web.conftest import Browser, Site

pytestmark = pytest.mark.anyio


async def signed_in(site: Site) -> Browser:
    browser = site.browser()
    await browser.sign_in("viewer")
    return browser


async def test_the_map_names_the_nodes_of_small_groups_and_counts_by_state(site: Site) -> None:
    site.engine.views["oss01.example.com"] = replace(
        site.engine.views["oss01.example.com"], state="silent"
    )
    page = (await (await signed_in(site)).get("/ui/")).text

    assert "1 silent" in page
    assert "3 connected" in page
    assert page.index('id="role-oss"') < page.index('id="role-mds"'), "the worst first"
    assert 'href="/ui/nodes/oss02.example.com"' in page


async def test_a_large_group_is_tiles_and_names_only_those_in_trouble(site: Site) -> None:
    for number in range(100):
        name = f"cl{number:03}.example.com"
        state = "silent" if number >= 70 else "connected"
        site.engine.views[name] = replace(node_view(name), role="client", state=state)  # type: ignore[arg-type]

    page = (await (await signed_in(site)).get("/ui/")).text

    assert page.count("<i class=") == 100
    assert 'href="/ui/nodes/cl070.example.com"' in page
    assert 'href="/ui/nodes/cl001.example.com"' not in page
    assert "and 6 more" in page
    assert 'aria-label="client: 30 silent, 70 connected; the table lists them"' in page


@pytest.mark.parametrize("view", ["/ui/", "/ui/nodes"])
@pytest.mark.parametrize(
    ("query", "there", "gone"),
    [
        ("nodes=oss[01-02]", "oss02", "oss03"),
        ("nodes=oss*&state=connected", "oss01", "mds01"),
        ("like=MDS", "mds01", "oss01"),
    ],
)
async def test_a_filter_leaves_what_it_means(
    site: Site, view: str, query: str, there: str, gone: str
) -> None:
    page = (await (await signed_in(site)).get(f"{view}?{query}")).text

    assert f"/ui/nodes/{there}.example.com" in page
    assert f"/ui/nodes/{gone}.example.com" not in page


@pytest.mark.parametrize("view", ["/ui/", "/ui/nodes"])
@pytest.mark.parametrize("nodes", ["oss[01-", "nobody9", "a[1-999999999]", "@nogroup"])
async def test_a_filter_that_cannot_be_read_says_why(site: Site, view: str, nodes: str) -> None:
    answer = await (await signed_in(site)).get(view, params={"nodes": nodes})

    assert answer.status_code == 200
    assert 'class="fault" role="alert"' in answer.text


@pytest.mark.parametrize("view", ["/ui/", "/ui/nodes"])
async def test_a_filter_by_facts_means_what_the_api_takes_it_for(site: Site, view: str) -> None:
    browser = await signed_in(site)

    unreadable = await browser.get(view, params={"facts": "=="})
    unknown = await browser.get(view, params={"facts": "os.name=never-heard-of"})

    assert 'class="fault" role="alert"' in unreadable.text
    assert "/ui/nodes/oss01.example.com" not in unknown.text


async def test_the_table_goes_on_page_by_page_and_shows_each_node_once(site: Site) -> None:
    for number in range(230):
        name = f"cl{number:03}.example.com"
        site.engine.views[name] = replace(node_view(name), role="client")
    browser = await signed_in(site)

    seen: list[str] = []
    where: str | None = "/ui/nodes?state=connected"
    while where is not None:
        page = (await browser.get(where)).text
        seen += [
            part.partition('"')[0] for part in page.split('<th scope="row"><a href="/ui/nodes/')[1:]
        ]
        head, found, _ = page.partition('" rel="next"')
        where = head.rpartition('href="')[2].replace("&amp;", "&") if found else None

    assert len(seen) == len(set(seen)) == 234


async def test_a_foreign_cursor_is_refused(site: Site) -> None:
    answer = await (await signed_in(site)).get("/ui/nodes?cursor=nonsense")

    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("typed", "leads_to"),
    [
        ("oss01.example.com", "/ui/nodes/oss01.example.com"),
        ("oss01", "/ui/nodes/oss01.example.com"),
        ("oss[01-02]", "/ui/nodes?nodes=oss%5B01-02%5D"),
        ("ss0", "/ui/nodes?like=ss0"),
        ("//evil.example", "/ui/nodes?like=%2F%2Fevil.example"),
        ("", "/ui/nodes"),
    ],
)
async def test_the_search_field_leads_to_what_was_meant(
    site: Site, typed: str, leads_to: str
) -> None:
    answer = await (await signed_in(site)).get("/ui/find", params={"q": typed})

    assert answer.headers["location"] == leads_to
