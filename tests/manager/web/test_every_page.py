"""What holds for every page: who sees it, what it tells browsers, and that text stays text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from pydantic import JsonValue

from emf_manager import views as v
from emf_manager.authorization import ROLES, permits
from emf_manager.authorization import Principal as Who
from emf_manager.plan_book import PlanOrder
from emf_manager.web.pages import UI, Page
from emf_manager.web.policy import HEADERS
from emf_manager.web.rooms import PAGES
from tests.manager.api.fakes import NOW, FakeEngine
from tests.manager.web.conftest import FROM_PAGE, Browser, Site

pytestmark = pytest.mark.anyio

NODE = "oss01.example.com"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}{% raw %}"
FILLED = {
    "fqdn": NODE,
    "daemon": "host",
    "job_id": "job-0001",
    "name": "start_unit",
    "login_id": "none",
    "token_id": "t0",
    "alert_id": "1",
    "plan_id": "plan-0001",
}
PUBLIC = ("/ui/login", "/ui/static/0/page.css", "/ui/nothing", "/ui", "/")


def address(page: Page) -> str:
    return UI + page.path.format_map(FILLED)


GO_ELSEWHERE = {"/find"}
"""Pages that only lead to another one."""


def reads() -> list[Page]:
    return [page for page in PAGES if "GET" in page.methods and page.path not in GO_ELSEWHERE]


def writes() -> list[Page]:
    return [page for page in PAGES if "POST" in page.methods]


def named(page: object) -> str:
    assert isinstance(page, Page)
    return f"{page.methods[0]} {page.path}"


async def prepare(site: Site) -> Browser:
    """Have something of everything behind the pages, with hostile text wherever a node speaks."""
    make_hostile(site.engine)
    await site.engine.create_job(v.JobOrder("start_unit", (NODE,), "admin", {"unit": HOSTILE}))
    await make_plan(site)
    browser = site.browser()
    await browser.sign_in()
    return browser


async def make_plan(site: Site) -> None:
    step = {"action": "start_unit", "args": {"unit": HOSTILE}, "name": HOSTILE}
    jobs = {"one": {"nodes": NODE, "steps": [step]}}
    document = json.dumps({"version": 1, "name": "p", "jobs": jobs})
    plan = site.plans.read_document(document, {})
    await site.plans.create(PlanOrder(plan, document, "admin", None))


def make_hostile(engine: FakeEngine) -> None:
    report: dict[str, JsonValue] = {
        "plugins": [
            {"name": HOSTILE, "state": HOSTILE, "reason": HOSTILE, "version": HOSTILE},
        ]
    }
    engine.views[NODE] = replace(
        engine.views[NODE],
        state="silent",
        reason=HOSTILE,
        agent_version=HOSTILE,
        boot_id=HOSTILE,
        mode=HOSTILE,
        sessions={HOSTILE: "active"},
    )
    values: dict[str, JsonValue] = {
        "agent": report,
        "host": {HOSTILE: [HOSTILE]},
        "journal": {"entries": [{"message": HOSTILE, "unit": HOSTILE}]},
        HOSTILE: HOSTILE,
    }
    for daemon, value in values.items():
        engine.values[NODE, daemon] = v.DataView(
            NODE, daemon, HOSTILE, 3, NOW - 3, 3.0, stale=False, value=value
        )


def test_each_path_stands_in_the_table_once() -> None:
    rows = [(method, page.path) for page in PAGES for method in page.methods]

    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("page", PAGES, ids=named)
async def test_a_stranger_sees_no_page(site: Site, page: Page) -> None:
    method = page.methods[0]
    fields = {} if method == "GET" else {"data": {"csrf": "x"}, "headers": FROM_PAGE}

    answer = await site.browser().request(method, address(page), **fields)  # type: ignore[arg-type]

    assert answer.status_code == (303 if method == "GET" else 401)
    assert answer.headers.get("location", "/ui/login").startswith("/ui/login")


@pytest.mark.parametrize("role", ROLES)
async def test_each_page_is_shown_to_the_roles_of_its_row_alone(site: Site, role: str) -> None:
    make_hostile(site.engine)
    await site.engine.create_job(v.JobOrder("start_unit", (NODE,), "admin", {"unit": "x"}))
    await make_plan(site)
    browser = site.browser()
    await browser.sign_in(role)

    for page in reads():
        answer = await browser.get(address(page))
        allowed = permits(Who(role, role, "t"), page.permission)  # type: ignore[arg-type]
        assert answer.status_code == (200 if allowed else 403), (page.path, answer.text)


async def test_every_answer_carries_the_policy(site: Site) -> None:
    browser = await prepare(site)
    addresses = [*map(address, reads()), *PUBLIC]

    for one in addresses:
        answer = await browser.get(one)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, one
        if "/static/" not in one and answer.status_code == 200:
            assert answer.headers["cache-control"] == "no-store", one


def test_the_policy_is_the_one_that_was_agreed() -> None:
    policy = HEADERS["Content-Security-Policy"].split("; ")

    assert policy == [
        "default-src 'self'",
        "base-uri 'none'",
        "object-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
    assert HEADERS["X-Content-Type-Options"] == "nosniff"
    assert HEADERS["Referrer-Policy"] == "same-origin"


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


async def test_what_a_node_says_is_only_ever_text(site: Site) -> None:
    browser = await prepare(site)

    for page in reads():
        text = (await browser.get(address(page))).text
        for tag, attributes in Elements(text).found:
            assert tag not in {"style", "iframe", "object", "embed", "base"}, page.path
            assert not any(name.startswith("on") or name == "style" for name in attributes)
            if tag == "script":
                assert (attributes.get("src") or "").startswith("/ui/static/"), page.path
            if tag in {"img", "link"}:
                where = attributes.get("src") or attributes.get("href") or ""
                assert where.startswith("/ui/static/"), page.path
            link = attributes.get("href") or attributes.get("action") or ""
            assert link.startswith(("/", "#")) or link == "", page.path
        assert "{{7*7}}" in text or "onerror" not in text, page.path
        assert "<img src=x" not in text, page.path


async def test_every_page_has_what_people_who_do_not_see_it_need(site: Site) -> None:
    browser = await prepare(site)

    for page in reads():
        text = (await browser.get(address(page))).text
        elements = Elements(text).found
        tags = [tag for tag, _ in elements]
        assert (tags.count("h1"), tags.count("main"), tags.count("title")) == (1, 1, 1), page.path
        assert next(a for t, a in elements if t == "html")["lang"] == "en"
        ids = [a["id"] for _, a in elements if a.get("id")]
        assert len(ids) == len(set(ids)), (page.path, ids)
        labelled = {a.get("for") for t, a in elements if t == "label"}
        for tag, attributes in elements:
            if tag in {"input", "select", "textarea"} and attributes.get("type") != "hidden":
                assert (
                    attributes.get("id") in labelled
                    or "aria-label" in attributes
                    or wrapped_in_a_label(text, attributes)
                ), (page.path, attributes)
            assert tag != "a" or attributes.get("href"), page.path


def wrapped_in_a_label(text: str, attributes: dict[str, str | None]) -> bool:
    name = re.escape(f'name="{attributes.get("name")}"')
    return re.search(rf"<label>(?:(?!</label>).)*?<\w+ [^>]*{name}", text, re.DOTALL) is not None


@pytest.mark.parametrize("page", writes(), ids=named)
@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "http://manager.example.com"}, True),
        ({"Origin": "null"}, True),
        (FROM_PAGE, False),
    ],
)
async def test_a_write_that_no_page_of_ours_asked_for_is_refused(
    site: Site, page: Page, headers: dict[str, str], token: bool
) -> None:
    browser = await prepare(site)
    fields = {"csrf": await browser.csrf()} if token else {"csrf": "x"}

    answer = await browser.post(address(page), data=fields, headers=headers)

    assert answer.status_code == 403, answer.text


async def test_signing_out_is_a_write_too(site: Site) -> None:
    browser = site.browser()
    await browser.sign_in()

    answer = await browser.send_form("/ui/logout", csrf="x")

    assert answer.status_code == 403
    assert (await browser.get("/ui/account")).status_code == 200


async def test_a_fault_of_ours_shows_nothing_of_itself(site: Site) -> None:
    async def broken() -> tuple[v.NodeView, ...]:
        raise RuntimeError("secret detail")

    browser = site.browser()
    await browser.sign_in()
    site.engine.nodes = broken  # type: ignore[method-assign]  # a fault is wanted

    answer = await browser.get("/ui/")

    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.headers["X-Frame-Options"] == "DENY"
