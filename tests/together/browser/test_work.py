"""Work in a real browser: order an action, watch its job, follow a daemon, hand out a token."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.together.browser.conftest import NODE, Town
from tests.together.browser.watched import Watched

pytestmark = pytest.mark.slow("a manager, an agent and a browser are started")


def fill_in(page: Any, action: str, **args: str) -> None:
    """Open an action's page and fill in its form for the one node."""
    page.goto(f"/ui/actions/{action}")
    page.get_by_label("Run it on").fill(NODE)
    for name, value in args.items():
        page.locator(f'[name="args/{name}"]').fill(value)


def run(page: Any) -> None:
    """Press the button, and come to the page of the job."""
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url("**/ui/jobs/*")


def test_an_action_is_found_ordered_and_answered(tab: Watched) -> None:
    page = tab.page
    page.goto("/ui/actions")
    page.get_by_label("Search actions").fill("given return")
    assert page.locator("[data-text]:visible").count() == 1
    page.get_by_role("link", name="echo").click()

    page.get_by_label("Run it on").fill("oss*")
    page.locator("#preview", has_text="1 node").wait_for()  # by itself, while one types
    page.locator('[name="args/text"]').fill("hello there")
    run(page)

    page.locator(".answer", has_text="hello there").wait_for()  # by itself, when it is there
    assert page.locator("h1").inner_text() == "echo"
    assert page.get_by_text("1 succeeded").is_visible()


def test_an_action_is_ordered_without_scripts(open_tab: Callable[..., Watched]) -> None:
    page = open_tab(java_script_enabled=False).page
    fill_in(page, "echo", text="by hand")
    page.get_by_role("button", name="Show where").click()
    assert "1 node" in page.locator("#preview").inner_text()
    assert page.locator('[name="args/text"]').input_value() == "by hand"

    run(page)
    for _ in range(200):
        if page.locator(".answer").count():
            break
        page.reload()

    assert "by hand" in page.locator(".answer").inner_text()


def test_what_is_wrong_with_an_order_is_said_where_it_stands(tab: Watched) -> None:
    tab.allowed = {422}
    page = tab.page
    fill_in(page, "wait", seconds="soon")

    page.get_by_role("button", name="Run", exact=True).click()

    fault = page.locator(".field", has=page.locator('[name="args/seconds"]')).get_by_role("alert")
    assert fault.inner_text() == "write a number"
    assert page.locator('[name="args/seconds"]').get_attribute("aria-invalid") == "true"


def test_a_job_is_watched_and_cancelled_after_a_question(tab: Watched) -> None:
    page = tab.page
    fill_in(page, "wait", seconds="300")
    run(page)
    page.locator("progress").wait_for()

    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").last.click()
    page.get_by_text("1 cancelled").wait_for()

    page.get_by_role("link", name="Run again").click()
    assert page.locator('[name="args/seconds"]').input_value() in {"300", "300.0"}


def test_a_page_that_was_cut_off_catches_up(town: Town, tab: Watched) -> None:
    page = tab.page
    fill_in(page, "echo", text="before")
    run(page)
    page.locator(".answer").wait_for()
    page.goto("/ui/jobs")
    before = page.locator("tbody tr").count()
    page.context.set_offline(True)

    operator = town.manager.operator(town.node.folder)
    done = operator.emf("run", NODE, "echo", '"while it was away"')
    assert done.returncode == 0, done.stderr
    page.context.set_offline(False)

    page.wait_for_function(
        "(before) => document.querySelectorAll('tbody tr').length > before", arg=before
    )
    tab.complaints = [one for one in tab.complaints if "ERR_INTERNET_DISCONNECTED" not in one]


def test_a_daemons_page_follows_its_value(tab: Watched) -> None:
    page = tab.page
    page.goto(f"/ui/nodes/{NODE}/daemons/pulse")
    place = page.locator("#panels dd").first
    first = place.inner_text()

    page.wait_for_function(
        "(before) => document.querySelector('#panels dd').innerText !== before", arg=first
    )

    page.get_by_text("The value as it came").click()
    assert '"beats"' in page.locator("#raw-value").inner_text()


def test_a_token_is_made_shown_once_and_revoked(tab: Watched) -> None:
    page = tab.page
    page.goto("/ui/access")
    page.get_by_text("Make an API token").click()
    form = page.locator('form[action="/ui/access/tokens"]')
    form.get_by_label("Label").fill("for a board")
    form.get_by_role("button").click()
    secret = page.locator("#secret").inner_text()
    assert secret.startswith("emf_")

    page.goto("/ui/access")
    assert secret not in page.content()
    row = page.locator("tr", has_text="for a board")
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()

    page.locator("tr.over", has_text=re.compile("for a board.*revoked", re.DOTALL)).wait_for()


def test_events_come_by_themselves_until_they_are_held(town: Town, tab: Watched) -> None:
    page = tab.page
    page.goto("/ui/events")
    newest = int(page.locator("tbody td").first.inner_text())
    operator = town.manager.operator(town.node.folder)

    assert operator.emf("run", NODE, "echo", '"news"').returncode == 0
    page.wait_for_function(
        "(before) => Number(document.querySelector('tbody td').innerText) > before", arg=newest
    )
    page.get_by_role("link", name="Hold").click()

    held = page.locator("tbody td").first.inner_text()
    assert f"held at {held}" in page.locator("#events").inner_text()
    assert page.locator("[data-live]").count() == 0
