"""What people do with the page: sign in, find, decide, by mouse and by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.together.browser.conftest import NODE, Town
from tests.together.browser.watched import Watched
from tests.together.programs import ok

pytestmark = pytest.mark.slow("a manager, an agent and a browser are started")

PASSWORD = "correct horse battery"


def test_a_link_signs_in_once_and_leaves_no_code_behind(
    town: Town, open_tab: Callable[..., Watched]
) -> None:
    link = town.link()
    first, second = open_tab(signed_in=False), open_tab(signed_in=False)
    second.allowed = {401}

    first.page.goto(link)
    first.page.wait_for_url("**/ui/")
    second.page.goto(link)
    second.page.get_by_role("alert").wait_for()

    assert "#" not in second.page.url
    assert "did not work" in second.page.get_by_role("alert").inner_text()
    assert link.partition("#")[2] not in town.manager.logged()


def test_a_password_signs_in_by_keyboard_alone_and_out_again(
    town: Town, open_tab: Callable[..., Watched]
) -> None:
    data = ("--data-dir", str(town.manager.data))
    ok("emf-manager", "user", "create", "kim", "--role", "viewer", *data)
    ok("emf-manager", "user", "password", "kim", *data, stdin=f"{PASSWORD}\n")
    tab = open_tab(signed_in=False)

    tab.page.goto("/ui/account")
    tab.page.keyboard.type("kim")
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.type(PASSWORD)
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/ui/account")
    assert tab.page.locator("h1").inner_text() == "kim"

    tab.page.locator("details.menu summary").focus()
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/ui/login")
    tab.page.goto("/ui/")
    assert "/ui/login" in tab.page.url


def test_the_keyboard_finds_a_node_and_the_way_past_the_bar(tab: Watched) -> None:
    tab.page.goto("/ui/")

    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.className") == "skip"
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("document.activeElement.id") == "main"

    tab.page.keyboard.press("/")
    assert tab.page.evaluate("document.activeElement.id") == "find"
    tab.page.keyboard.type("oss01")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url(f"**/ui/nodes/{NODE}")


def test_tabbing_goes_through_the_page_and_is_trapped_nowhere(tab: Watched) -> None:
    tab.page.goto(f"/ui/nodes/{NODE}")
    seen = set()
    for _ in range(400):
        tab.page.keyboard.press("Tab")
        if tab.page.evaluate("document.activeElement === document.body"):
            break
        ring = tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring != "none", tab.page.evaluate("document.activeElement.outerHTML")
        seen.add(tab.page.evaluate("document.activeElement.outerHTML"))
    else:
        pytest.fail("the keyboard never came out of the page")

    assert len(seen) > 10


def test_the_look_that_was_chosen_stays(tab: Watched) -> None:
    tab.page.emulate_media(color_scheme="light")
    tab.page.goto("/ui/")
    tab.page.get_by_role("button", name="Switch between light and dark").click()
    tab.page.goto(f"/ui/nodes/{NODE}")

    assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_node_that_waits_appears_by_itself_and_is_approved_after_a_question(
    town: Town, tab: Watched
) -> None:
    from tests.together.programs import Node

    tab.page.goto("/ui/")
    tab.page.locator("#live.on").wait_for()
    waiting = Node(town.folder, "mds01.example.com")
    enrolled = waiting.enrol(
        town.manager, town.manager.enrolment_token("--node", "mds*", "--approval")
    )
    assert enrolled.returncode == 0, enrolled.stderr

    tab.page.get_by_role("link", name="mds01 waiting").click()
    tab.page.get_by_role("button", name="Approve").click()
    question = tab.page.get_by_role("dialog")
    assert "speak?" in question.inner_text()
    question.get_by_role("button", name="Cancel").click()
    question.wait_for(state="detached")
    tab.page.get_by_role("button", name="Approve").click()
    with tab.page.expect_navigation():
        question.get_by_role("button", name="Approve").click()

    assert tab.page.get_by_role("button", name="Approve").count() == 0
    trail = town.manager.operator(town.node.folder).get("/audit?limit=500")["items"]
    assert any(
        line["actor"] == "user:ann" and line["what"].endswith("mds01.example.com/approve")
        for line in trail
    )
