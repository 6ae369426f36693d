"""A tour over a site that keeps account: which commands, routes and pages have been exercised.

It counts what ended as it should, so that a call that is refused exercises nothing.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import click
import httpx

from emf_manager.authorization import API_PREFIX, find_route
from emf_manager.client.cli import emf
from emf_manager.web.pages import UI, Page
from emf_manager.web.rooms import PAGES
from tests.manager.web.browser_form import controls
from tests.together.site import Site

__all__ = ["Tour", "commands"]

CSRF = re.compile(r'name="csrf" (?:content|value)="([^"]+)"')


def commands(group: click.Group = emf, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the words of each command of a program."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name))


COMMANDS = frozenset(commands())


class Tour:
    """Somebody who types, calls and clicks as the site's admin."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.typed: set[str] = set()
        self.asked: set[str] = set()
        self.visited: set[str] = set()

    # What is typed

    def emf(self, *words: str, code: int = 0) -> str:
        """Type a command that ends with this exit code; returns what it printed."""
        done = self.site.emf(*words)
        assert done.returncode == code, f"emf {' '.join(words)}: {done.stderr or done.stdout}"
        self.has_typed(*words)
        return str(done.stdout)

    def emf_json(self, *words: str, code: int = 0) -> Any:
        """Type a command and return the document it printed."""
        return json.loads(self.emf(*words, "--json", code=code))

    def has_typed(self, *words: str) -> None:
        """Count a command."""
        named = {" ".join(words[:1]), " ".join(words[:2])} & COMMANDS
        assert named, f"{words} is no command of emf"
        self.typed |= named

    # What is called

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API, which must not refuse; returns its JSON, or the text of what is none."""
        answer = self.site.call(method, path, body)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        self.has_asked(method, path)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.json() if is_json else answer.text

    def first_line(self, path: str, opening: str) -> str:
        """Open a stream and return its first line that opens so."""
        allowed = {"Authorization": f"Bearer {self.site.tokens['admin']}"}
        with self.site.http.stream("GET", API_PREFIX + path, headers=allowed) as answer:
            assert answer.status_code == httpx.codes.OK
            found = next(line for line in answer.iter_lines() if line.startswith(opening))
        self.has_asked("GET", path)
        return found

    def has_asked(self, method: str, path: str) -> None:
        """Count a route."""
        route = find_route(method, API_PREFIX + path.partition("?")[0])
        assert route is not None, f"{method} {path} is no route"
        self.asked.add(f"{route.method} {route.path}")

    # What is clicked

    def sign_in(self) -> None:
        """Sign in to the page; the cookie stays with the site's client, for the page alone."""
        answer = self.site.http.post(f"{UI}/login", data={"token": self.site.tokens["admin"]})
        assert answer.status_code == httpx.codes.SEE_OTHER, answer.text

    def sign_out(self) -> None:
        """Sign out again."""
        answer = self.site.http.post(f"{UI}/logout", data={"csrf": self._csrf()})
        assert answer.status_code == httpx.codes.SEE_OTHER, answer.text
        self.site.http.cookies.clear()

    def look(self, path: str) -> str:
        """Open a page, following where it leads; returns its HTML."""
        answer = self.site.http.get(UI + path, follow_redirects=True)
        assert answer.status_code == httpx.codes.OK, f"{path}: {answer.text}"
        assert "<h1" in answer.text, path
        self._has_visited("GET", path)
        return answer.text

    def post(self, path: str, **fields: str) -> httpx.Response:
        """Send a form, which must not be refused; the answer leads on, or is a page."""
        answer = self.site.http.post(UI + path, data={"csrf": self._csrf(), **fields})
        assert answer.status_code in {200, 303}, f"{path}: {answer.text}"
        self._has_visited("POST", path)
        return answer

    def fill_in(self, path: str, **fields: str) -> str:
        """Fill in the form that a page shows, and send it; returns where that leads."""
        shown = dict(controls(self.look(path).partition("<main")[2]))
        return self.post(path, **{**shown, **fields}).headers["location"].removeprefix(UI)

    def _csrf(self) -> str:
        found = CSRF.search(self.site.http.get(f"{UI}/account").text)
        assert found, "nobody is signed in"
        return html.unescape(found[1])

    def _has_visited(self, method: str, path: str) -> None:
        page = next(one for one in PAGES if method in one.methods and is_at(one, path))
        self.visited.add(f"{method} {page.path}")


def is_at(page: Page, path: str) -> bool:
    pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(page.path))
    return re.fullmatch(pattern, path.partition("?")[0]) is not None
