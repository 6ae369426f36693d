"""Colours by computation: what is text can be read, what is a mark can be seen (WCAG 2 AA)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emf_manager.web import assets

SHEET = (Path(assets.__file__).parent / "static" / "page.css").read_text()
TEXT = [
    *((ink, ground) for ink in ("ink", "muted", "accent") for ground in ("ground", "sheet")),
    *((ink, "sheet") for ink in ("ok", "warn", "bad", "busy")),
    *((ink, "raised") for ink in ("ink", "muted")),
    ("on-accent", "accent"),
    ("bad", "bad-ground"),
    ("warn", "warn-ground"),
    ("ink", "bad-ground"),
]
MARKS = [(mark, "sheet") for mark in ("ok", "busy", "warn", "bad", "idle", "tile", "strong-line")]


def colours(opening: str) -> dict[str, str]:
    body = SHEET[SHEET.index(opening) :].partition("}")[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", body))


LIGHT, DARK = colours(":root {"), colours(':root[data-theme="dark"] {')


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_marks_stand_out_from_their_ground(look: dict[str, str]) -> None:
    low = [
        (*pair, round(contrast(look[pair[0]], look[pair[1]]), 2))
        for pairs, least in ((TEXT, 4.5), (MARKS, 3.0))
        for pair in pairs
        if contrast(look[pair[0]], look[pair[1]]) < least
    ]

    assert low == []


def test_the_dark_look_is_the_same_by_choice_and_by_system() -> None:
    assert colours(':root:not([data-theme="light"]) {') == DARK
    assert LIGHT.keys() == DARK.keys()
