"""A form as a browser submits it: read out of HTML, nothing changed."""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["controls"]


def controls(html: str) -> list[tuple[str, str]]:
    """Return what a browser sends for the controls in a piece of HTML, in their order."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader.sent


class Reader(HTMLParser):
    """Collects successful controls as the HTML standard has it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self._select: str | None = None
        self._options: list[tuple[str, bool]] = []
        self._area: tuple[str, list[str]] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a control."""
        given = {name: value or "" for name, value in attrs}
        if tag == "input" and "name" in given:
            if given.get("type") in {"checkbox", "radio"} and "checked" not in given:
                return
            self.sent.append((given["name"], given.get("value", "on")))
        elif tag == "select":
            self._select, self._options = given["name"], []
        elif tag == "option":
            self._options.append((given["value"], "selected" in given))
        elif tag == "textarea":
            self._area = (given["name"], [])

    def handle_endtag(self, tag: str) -> None:
        """End a control that has an end."""
        if tag == "select" and self._select is not None and self._options:
            chosen = [value for value, selected in self._options if selected]
            self.sent.append((self._select, (chosen or [self._options[0][0]])[-1]))
        elif tag == "textarea" and self._area is not None:
            name, parts = self._area
            text = "".join(parts).removeprefix("\n")
            self.sent.append((name, text.replace("\r\n", "\n").replace("\n", "\r\n")))
            self._area = None

    def handle_data(self, data: str) -> None:
        """Take the text of a text area."""
        if self._area is not None:
            self._area[1].append(data)
