"""The frame of every page: the templates, what they may use, and the answer they become.

Text of nodes is only ever a value; templates are ours, escape by themselves, and fail where a name
is not there (requirement R28).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from emf_manager.web.assets import Assets

__all__ = ["Frame", "age", "moment", "pretty", "size"]

NONE = "\N{EN DASH}"
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


class Frame:
    """Makes pages of templates."""

    def __init__(self, assets: Assets) -> None:
        self._templates = Environment(
            loader=PackageLoader("emf_manager.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals["asset"] = assets.url
        self._templates.filters.update(age=age, moment=moment, pretty=pretty, size=size)

    def respond(self, template: str, values: Mapping[str, Any], *, status: int = 200) -> Response:
        """Return a page; nothing of it is kept by caches."""
        text = self._templates.get_template(template).render(values)
        return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


def moment(at: datetime | float | None) -> str:
    """Return a time for people, in UTC; a dash where there is none."""
    if at is None:
        return NONE
    if not isinstance(at, datetime):
        at = datetime.fromtimestamp(at, timezone.utc)
    return at.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def age(seconds: float | None) -> str:
    """Return how long something is or was, in its two largest units at most."""
    if seconds is None:
        return NONE
    whole = int(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(count: float | None) -> str:
    """Return bytes for people, in powers of 1024."""
    if count is None:
        return NONE
    value, unit = float(count), 0
    while abs(value) >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 else f"{value:.1f} {UNITS[unit]}"


def pretty(value: Any) -> str:
    """Return a JSON value as people read it."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
