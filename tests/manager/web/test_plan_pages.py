"""The pages of plans: a document is checked, run, seen as a graph, stopped and taken up again."""

from __future__ import annotations

import re

import pytest

from emf_manager.web.plans import DOCUMENT
from tests.manager.web.browser_form import controls
from tests.manager.web.conftest import Browser, Site

pytestmark = pytest.mark.anyio

NEW = "/ui/plans/new"
PLAN = """\
version: 1
name: restart
jobs:
  stop:
    nodes: oss01
    steps:
      - {action: stop_unit, args: {unit: lnet.service}}
  start:
    needs: stop
    nodes: oss01
    steps:
      - {action: start_unit, args: {unit: lnet.service}}
"""


async def operator(site: Site, role: str = "operator") -> Browser:
    browser = site.browser()
    await browser.sign_in(role)
    return browser


async def test_a_plan_is_checked_before_it_runs(site: Site) -> None:
    browser = await operator(site)

    answer = await browser.press(NEW, document=PLAN.replace("\n", "\r\n"), do="check")

    assert answer.status_code == 200, answer.text
    assert "Nothing is wrong with it: restart." in answer.text
    assert answer.text.count('class="edge idle"') == 1
    assert not site.plans.kept


async def test_what_is_wrong_is_said_by_line(site: Site) -> None:
    browser = await operator(site)

    answer = await browser.press(NEW, document=PLAN.replace("stop_unit", "stop_unt"), do="run")

    assert answer.status_code == 422
    assert "line 7" in answer.text
    assert "stop_unt" in dict(controls(answer.text))["document"]
    assert not site.plans.kept


@pytest.mark.parametrize("document", ["", "a: [", "x" * 300_000, "&a [*a]", "version: 1", "\x00"])
async def test_no_document_breaks_the_form(site: Site, document: str) -> None:
    browser = await operator(site)

    answer = await browser.press(NEW, document=document, do="run")

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


async def test_a_plan_runs_once_and_is_drawn(site: Site) -> None:
    browser = await operator(site)
    fields = {"document": PLAN, "do": "run", "key": "k" * 32}

    first = await browser.press(NEW, **fields)
    again = await browser.press(NEW, **fields)
    page = (await browser.get("/ui/plans/plan-0001")).text

    assert first.headers["location"] == again.headers["location"] == "/ui/plans/plan-0001"
    assert page.count('<circle class="idle"') == 2
    assert re.search(r"after stop", page)
    assert '"unit": "lnet.service"' in page.replace("&#34;", '"')


async def test_a_plan_is_stopped_and_taken_up_again(site: Site) -> None:
    browser = await operator(site)
    await browser.press(NEW, document=PLAN, do="run")

    stopped = await browser.press("/ui/plans/plan-0001/cancel")
    after = (await browser.get("/ui/plans/plan-0001")).text
    resumed = await browser.press("/ui/plans/plan-0001/resume")

    assert stopped.status_code == resumed.status_code == 303
    assert "/resume" in after
    assert "operator cancelled it" in after
    assert site.plans.kept["plan-0001"][0].attempt == 2


async def test_a_viewer_only_sees_plans(site: Site) -> None:
    await (await operator(site)).press(NEW, document=PLAN, do="run")
    viewer = await operator(site, "viewer")

    page = (await viewer.get("/ui/plans/plan-0001")).text
    listed = (await viewer.get("/ui/plans?state=running")).text

    assert "/cancel" not in page
    assert "restart" in listed
    assert "New plan" not in listed
    assert (await viewer.get(NEW)).status_code == 403
    assert (await viewer.press("/ui/plans/plan-0001/cancel")).status_code == 403


async def test_an_odd_question_about_plans_is_answered(site: Site) -> None:
    browser = await operator(site)

    assert (await browser.get("/ui/plans/nothing")).status_code == 404
    assert (await browser.get("/ui/plans?state=odd")).status_code == 422
    assert (await browser.get("/ui/plans?cursor=odd")).status_code == 422
    assert (await browser.press("/ui/plans/nothing/cancel")).status_code == 404


async def test_the_document_one_begins_with_can_be_read(site: Site) -> None:
    assert site.plans.read_document(DOCUMENT, {}).name == "restart lnet"
