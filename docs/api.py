"""Prints the reference of the API from its OpenAPI document; `--write` puts it into the docs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

from emf_manager.api.application import build_routes
from emf_manager.api.openapi import describe, operations
from emf_manager.api.service import Service

PAGE = Path(__file__).with_name("api.md")
BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"
COMMON = {"Idempotency-Key", "If-None-Match", "cursor", "limit"}
"""Parameters that the page tells of once, above."""


def reference() -> str:
    """Return a table of every route, then each one with its parameters and examples."""
    document = describe(build_routes(cast(Service, None)))  # no request is answered here
    by_tag: dict[str, list[tuple[str, str, Any]]] = {}
    for method, path, operation in operations(document):
        by_tag.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    parts = ["| Route | Permission | What it does |", "|---|---|---|"]
    parts += [
        f"| `{method} {path}` | {operation['x-permission']} | {operation['summary']} |"
        for routes in by_tag.values()
        for method, path, operation in routes
    ]
    for tag, routes in by_tag.items():
        parts += ["", f"## {tag.capitalize()}"]
        for method, path, operation in routes:
            parts += ["", f"### {method} {path}", "", *told(operation)]
    return "\n".join(parts)


def told(operation: Any) -> list[str]:
    """Return what there is to say of one route."""
    lines = operation["description"].replace("\n\n", " ").split("\n")
    named = [each for each in operation["parameters"] if each["name"] not in COMMON]
    if named:
        lines += ["", "| Parameter | | |", "|---|---|---|"]
        lines += [
            f"| `{each['name']}` | {each['in']}{', needed' if each['required'] else ''} "
            f"| {cell(each['description'])} |"
            for each in named
        ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        lines += ["", *example("Takes", body["example"])]
    for status, answer in operation["responses"].items():
        if int(status) < 300:
            content = answer.get("content", {}).get("application/json")
            what = f"Answers {status}"
            lines += ["", *(example(what, content["example"]) if content else [f"{what}."])]
    refusals = [status for status in operation["responses"] if int(status) >= 400]
    return [*lines, "", f"Refuses with {', '.join(sorted(refusals))}."]


def example(what: str, value: Any) -> list[str]:
    """Return an example as a block."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return [f"{what}:", "", "```json", text, "```"]


def cell(text: str) -> str:
    """Return a text for a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def written(page: str) -> str:
    """Return the page with the reference of today."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(reference())
