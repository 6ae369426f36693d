"""The pages of access, audit and events: secrets said once, the chain followed, the news held."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from emf_manager.api import models as m
from emf_manager.audit_chain import FIRST_DIGEST, digest
from emf_manager.records import NewAudit
from tests.manager.api.fakes import MOMENT, NOW
from tests.manager.web.conftest import Browser, Site

pytestmark = pytest.mark.anyio


async def admin(site: Site) -> Browser:
    browser = site.browser()
    await browser.sign_in("admin")
    return browser


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


async def test_a_token_is_said_once(site: Site) -> None:
    browser = await admin(site)

    made = await browser.press("/ui/access/tokens", user="viewer", label="board", life="1 day")
    after = await browser.get("/ui/access")

    assert made.status_code == 200
    assert "said-once" in made.text
    assert made.headers["cache-control"] == "no-store"
    assert "said-once" not in after.text
    assert site.accounts.issued["t1"].user == "viewer"


async def test_a_token_for_enrolment_is_said_once(site: Site) -> None:
    browser = await admin(site)

    made = await browser.press(
        "/ui/access/enrolments", nodes="oss[01-16]", uses="16", life="1 hour", approval="yes"
    )
    after = await browser.get("/ui/access")

    assert "enrol-once" in made.text
    assert "enrol-once" not in after.text
    assert "oss[01-16]" in after.text
    assert site.accounts.enrolments["e1"].uses == 16


async def test_tokens_are_revoked(site: Site) -> None:
    browser = await admin(site)
    await browser.press("/ui/access/tokens", user="viewer", life="")
    await browser.press("/ui/access/enrolments", nodes="*", uses="1", life="1 hour")

    first = await browser.press("/ui/access/tokens/t1/revoke")
    second = await browser.press("/ui/access/enrolments/e1/revoke")
    again = await browser.press("/ui/access/tokens/t1/revoke")

    assert first.headers["location"] == second.headers["location"] == "/ui/access"
    assert not site.accounts.issued
    assert not site.accounts.enrolments
    assert again.status_code == 404
    assert "there is no token" in again.text


async def test_a_user_comes_and_is_bound_and_goes(site: Site) -> None:
    browser = await admin(site)

    await browser.press(
        "/ui/access/users", name="ann", role="operator", mandates="start_unit on oss[01-02]"
    )
    bound = site.accounts.people["ann"].mandates  # type: ignore[index]  # any name
    await browser.press("/ui/access/users/ann/bind", mandates="stop_*, start_* on oss01\r\n\r\n")
    again = site.accounts.people["ann"].mandates  # type: ignore[index]  # any name
    await browser.press("/ui/access/users/ann/delete")

    assert [(one.actions, one.nodes) for one in bound] == [(("start_unit",), "oss[01-02]")]
    assert [(one.actions, one.nodes) for one in again] == [(("stop_*", "start_*"), "oss01")]
    assert "ann" not in site.accounts.people


@pytest.mark.parametrize(
    ("path", "fields", "status", "said"),
    [
        ("users", {"name": "admin", "role": "viewer"}, 409, "there is a user admin already"),
        ("users", {"name": "<b>", "role": "viewer"}, 422, "body.name"),
        ("users", {"name": "x", "role": "king"}, 422, "body.role"),
        ("users", {"name": "x", "role": "operator", "mandates": " on x"}, 422, "actions"),
        ("users", {"role": "viewer"}, 422, "no field"),
        ("users/admin/delete", {}, 409, "nobody deletes their own user"),
        ("tokens", {"user": "nobody"}, 404, "there is no user"),
        ("tokens", {}, 422, "no field"),
        ("enrolments", {"uses": "many"}, 422, "uses"),
        ("enrolments", {"role": "A B"}, 422, "role"),
    ],
)
async def test_what_is_refused_is_said_on_the_page(
    site: Site, path: str, fields: dict[str, Any], status: int, said: str
) -> None:
    browser = await admin(site)

    answer = await browser.press(f"/ui/access/{path}", **fields)

    assert answer.status_code == status, answer.text
    assert said in answer.text


async def test_a_token_that_is_over_says_why(site: Site) -> None:
    past = MOMENT - timedelta(days=1)
    site.accounts.issued = {
        "a": m.Token(id="a", user="viewer", created=past, revoked=past),
        "b": m.Token(id="b", user="viewer", created=past, expires=past),
        "c": m.Token(id="c", user="viewer", created=past),
    }
    browser = await admin(site)

    page = (await browser.get("/ui/access")).text

    assert page.count('class="over"') == 2
    assert page.count("/revoke") == 1


# The audit trail


def trail(count: int) -> tuple[m.AuditLine, ...]:
    """Return so many lines, chained."""
    lines: list[m.AuditLine] = []
    before = FIRST_DIGEST
    for number in range(1, count + 1):
        entry = NewAudit(NOW + number, "user:ann", f"POST /api/v1/jobs {number}", "x", "ok", None)
        before = digest(before, number, entry)
        lines.append(
            m.AuditLine(
                sequence=number, at=entry.at, actor=entry.actor, what=entry.what,
                subject=entry.subject, outcome=entry.outcome, detail=None, digest=before,
            )
        )  # fmt: skip
    return tuple(lines)


async def test_the_trail_is_read_from_its_end(site: Site) -> None:
    site.accounts.trail = trail(150)
    browser = await admin(site)

    newest = (await browser.get("/ui/audit")).text
    older = (await browser.get("/ui/audit?until=50")).text

    assert "These lines are an unbroken chain" in newest
    assert newest.index("jobs 150<") < newest.index("jobs 51<")
    assert "jobs 50<" not in newest
    assert "jobs 50<" in older
    assert "jobs 1<" in older


async def test_a_changed_line_is_named(site: Site) -> None:
    lines = list(trail(150))
    lines[120] = lines[120].model_copy(update={"actor": "user:mallory"})
    site.accounts.trail = tuple(lines)
    browser = await admin(site)

    shown = text_of((await browser.get("/ui/audit")).text)
    whole = text_of((await browser.get("/ui/audit?verify=1&until=10")).text)

    assert "The chain breaks at line 121" in shown
    assert "tampered with: the chain breaks at line 121." in whole


async def test_a_whole_trail_is_checked(site: Site) -> None:
    site.accounts.trail = trail(30)
    browser = await admin(site)

    assert "All 30 lines are unbroken." in (await browser.get("/ui/audit?verify=1")).text
    assert "user:bob" not in (await browser.get("/ui/audit?actor=bob")).text


@pytest.mark.parametrize("query", ["until=x", "until=-1", f"until={10**30}", "actor=%00", "until="])
async def test_an_odd_question_about_the_trail_is_harmless(site: Site, query: str) -> None:
    site.accounts.trail = trail(3)
    browser = await admin(site)

    assert (await browser.get(f"/ui/audit?{query}")).status_code == 200


# Events


async def test_events_are_followed_or_held(site: Site) -> None:
    for number in range(150):
        site.engine.happen("node.online" if number % 2 else "job.done", "oss01.example.com")
    browser = await admin(site)

    live = (await browser.get("/ui/events")).text
    held = (await browser.get("/ui/events?until=120")).text
    nodes = (await browser.get("/ui/events?kind=node.&node=oss01.example.com")).text

    assert 'data-live=""' in live
    assert ">150<" in live
    assert ">50<" not in live
    assert 'data-live=""' not in held
    assert "30 came since" in held
    assert ">120<" in held
    assert "<code>job.done" not in nodes


@pytest.mark.parametrize("query", ["until=x", f"until={10**30}", "until=-3", "kind=%22", "node=x"])
async def test_an_odd_question_about_events_is_harmless(site: Site, query: str) -> None:
    site.engine.happen("node.online", "oss01.example.com")
    browser = await admin(site)

    assert (await browser.get(f"/ui/events?{query}")).status_code == 200


# Alerts


async def test_alerts_are_acknowledged_with_a_note(site: Site) -> None:
    site.alerts.put(text="no contact for 60 s")
    browser = site.browser()
    await browser.sign_in("operator")

    before = (await browser.get("/ui/alerts")).text
    done = await browser.press("/ui/alerts/1/acknowledge", note="the disk is ordered")
    after = (await browser.get("/ui/alerts")).text

    assert "no contact for 60 s" in before
    assert done.headers["location"] == "/ui/alerts"
    assert "operator looks after it since" in after
    assert "the disk is ordered" in after
    assert "/acknowledge" not in after


async def test_a_viewer_only_sees_alerts(site: Site) -> None:
    site.alerts.put()
    browser = site.browser()
    await browser.sign_in("viewer")

    assert "/acknowledge" not in (await browser.get("/ui/alerts")).text
    assert (await browser.press("/ui/alerts/1/acknowledge")).status_code == 403


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("state=all", 200),
        ("state=cleared", 200),
        ("state=odd", 422),
        ("nodes=oss[01", 422),
        ("nodes=nobody", 404),
        ("severity=odd", 422),
        ("cursor=odd", 422),
    ],
)
async def test_an_odd_question_about_alerts_is_answered(
    site: Site, query: str, status: int
) -> None:
    browser = await admin(site)

    assert (await browser.get(f"/ui/alerts?{query}")).status_code == status
    assert (await browser.press("/ui/alerts/99/acknowledge")).status_code == 404
    assert (await browser.press("/ui/alerts/x/acknowledge")).status_code == 422
