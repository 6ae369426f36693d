"""A manager over real TLS with a real node, and a real browser in front of its page.

``town`` is made once for all tests here, and is gone before any other; ``tab`` is a signed-in tab
of the test's own, and fails it where the page complains of something.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.together.programs import Manager, Node, a_manager, a_node, eventually
from tests.together.site import install

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from tests.together.browser.chromium import chromium, find_chromium  # noqa: E402
from tests.together.browser.watched import Watched  # noqa: E402

NODE = "oss01.example.com"


@dataclass
class Town:
    """What stands ready for all browser tests."""

    manager: Manager
    node: Node
    browser: Any
    signed_in: Any
    """Cookies of an admin who signed in once."""
    folder: Path

    def link(self, user: str = "ann") -> str:
        """Return a fresh link that signs somebody in."""
        return str(self.manager.admin("user", "login-link", user)["link"])

    def context(self, *, signed_in: bool = True, **more: Any) -> Any:
        """Return a browser profile of its own."""
        state = self.signed_in if signed_in else None
        return self.browser.new_context(
            base_url=self.manager.url, storage_state=state, reduced_motion="reduce", **more
        )


@pytest.fixture(scope="package")  # Playwright keeps a loop of asyncio running: nobody else could
def town(tmp_path_factory: pytest.TempPathFactory) -> Generator[Town, None, None]:
    if find_chromium() is None:
        pytest.skip("no Chromium is installed: the page was not tried in a browser")
    folder = tmp_path_factory.mktemp("town")
    plugins = install(folder / "plugins")
    with a_manager(folder) as manager, a_node(folder, NODE, manager, plugins) as node:
        operator = manager.operator(node.folder)
        eventually(
            lambda: (operator.get(f"/nodes/{NODE}") or {}).get("plugins"), "the node's report"
        )
        with chromium(manager.data) as browser:
            made = Town(manager, node, browser, None, folder)
            context = made.context(signed_in=False)
            page = context.new_page()
            page.goto(made.link())
            page.wait_for_url("**/ui/")
            made.signed_in = context.storage_state()
            context.close()
            yield made


@pytest.fixture
def open_tab(town: Town) -> Generator[Callable[..., Watched], None, None]:
    """A maker of tabs; what their pages complain of fails the test."""
    contexts: list[Any] = []
    tabs: list[Watched] = []

    def open_one(**more: Any) -> Watched:
        contexts.append(town.context(**more))
        tabs.append(Watched(contexts[-1].new_page()))
        return tabs[-1]

    yield open_one
    for tab in tabs:
        tab.check()
    for context in contexts:
        context.close()


@pytest.fixture
def tab(open_tab: Callable[..., Watched]) -> Watched:
    """A tab of somebody who is signed in, a desk's size."""
    return open_tab(viewport={"width": 1280, "height": 800})
