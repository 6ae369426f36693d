"""The page of one node: what it shows, and what admins decide on it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emf_manager import views as v
from tests.manager.api.fakes import data_view
from tests.manager.web.conftest import Site

pytestmark = pytest.mark.anyio

NODE = "oss01.example.com"
PAGE = f"/ui/nodes/{NODE}"


async def shown(site: Site, role: str = "admin") -> str:
    browser = site.browser()
    await browser.sign_in(role)
    answer = await browser.get(PAGE)
    assert answer.status_code == 200
    return answer.text


async def test_it_shows_sessions_plugins_certificate_jobs_and_actions(site: Site) -> None:
    plugin = {"name": "bad", "state": "tampered", "reason": "file hash differs", "version": "1.0"}
    site.engine.values[NODE, "agent"] = data_view(NODE, "agent", {"plugins": [plugin]})
    site.engine.values[NODE, "host"] = data_view(NODE, "host", {}, stale=True)
    await site.engine.create_job(v.JobOrder("start_unit", (NODE,), "maria", {"unit": "x"}))

    page = await shown(site)

    assert "file hash differs" in page
    assert 'class="mark bad"><i aria-hidden="true"></i>tampered' in page
    assert f'href="{PAGE}/daemons/host"' in page
    assert "stale" in page
    assert 'href="/ui/jobs/job-0001"' in page
    assert "60 days left" in page
    assert f'href="/ui/actions/start_unit?nodes={NODE}"' in page


async def test_a_short_name_finds_the_node_and_a_wrong_one_says_what_was_meant(site: Site) -> None:
    browser = site.browser()
    await browser.sign_in()

    assert (await browser.get("/ui/nodes/oss01")).status_code == 200
    wrong = await browser.get("/ui/nodes/oss91")
    assert wrong.status_code == 404
    assert "did you mean" in wrong.text


@pytest.mark.parametrize(
    ("role", "offered", "kept_back"),
    [
        ("viewer", [], ["ping", "approve", "revoke", "remove"]),
        ("operator", [], ["approve", "revoke", "remove"]),
        ("admin", ["approve", "revoke", "remove"], []),
    ],
)
async def test_a_page_offers_what_its_reader_may_do(
    site: Site, role: str, offered: list[str], kept_back: list[str]
) -> None:
    site.engine.views[NODE] = replace(site.engine.views[NODE], waiting=True)

    page = await shown(site, role)

    assert all(f'action="{PAGE}/{what}"' in page for what in offered)
    assert not any(f'action="{PAGE}/{what}"' in page for what in kept_back)


async def test_approving_goes_through_the_api_and_its_audit(site: Site) -> None:
    site.engine.views[NODE] = replace(site.engine.views[NODE], waiting=True)
    browser = site.browser()
    await browser.sign_in()

    answer = await browser.press(f"{PAGE}/approve")

    assert answer.headers["location"] == PAGE
    assert not site.engine.views[NODE].waiting
    assert [(n.user, n.method, n.path, n.phase) for n in site.accounts.notes] == [
        ("admin", "POST", f"/api/v1/nodes/{NODE}/approve", "begin"),
        ("admin", "POST", f"/api/v1/nodes/{NODE}/approve", "end"),
    ]


async def test_what_the_api_refuses_is_shown_with_its_reason(site: Site) -> None:
    browser = site.browser()
    await browser.sign_in()

    answer = await browser.press(f"{PAGE}/approve")

    assert answer.status_code == 404
    assert "there is no waiting node" in answer.text


async def test_revoking_and_removing_keep_the_reason(site: Site) -> None:
    browser = site.browser()
    await browser.sign_in()

    await browser.press(f"{PAGE}/revoke", reason="stolen")
    removed = await browser.press(f"{PAGE}/remove", reason="sold")

    assert [(event.kind, event.body["reason"]) for event in site.engine.log] == [
        ("node.revoked", "stolen"),
        ("node.removed", "sold"),
    ]
    assert removed.headers["location"] == "/ui/"


async def test_an_operator_cannot_revoke_whatever_they_post(site: Site) -> None:
    browser = site.browser()
    await browser.sign_in("operator")

    answer = await browser.press(f"{PAGE}/revoke", reason="x")

    assert answer.status_code == 403
    assert site.engine.log == []
