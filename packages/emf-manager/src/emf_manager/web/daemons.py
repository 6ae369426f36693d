"""The page of one daemon of a node: its value in panels, how old it is, and what it was before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from starlette.responses import Response

from emf_manager.api import models as m
from emf_manager.history.book import HistoryView
from emf_manager.web.answers import get
from emf_manager.web.curves import Plot, Series, plot, sparkline
from emf_manager.web.frame import pretty
from emf_manager.web.pages import Page, Visit
from emf_manager.web.panels.blocks import Block, Branch, Cell, Chart, Curve, Facts, Table, Tree
from emf_manager.web.panels.choice import panels_of

__all__ = ["PAGES", "named_in"]

AS_TEXT = 200_000
"""Characters; a longer value is not shown as it came."""
POINTS = 120
MOST_SERIES = 200
SPANS: Mapping[str, float] = {
    "15 min": 900, "1 h": 3600, "6 h": 21600, "1 d": 86400, "7 d": 604800, "30 d": 2592000,
}  # fmt: skip
USUAL = "1 h"


async def show(visit: Visit) -> Response:
    """Show a daemon's latest value, and its numbers over a while."""
    fqdn, daemon = visit.request.path_params["fqdn"], visit.request.path_params["daemon"]
    item = await get(visit, m.DataItem, f"/data/{fqdn}/{daemon}")
    known = {one.name: one for one in await visit.service.history.series(item.node, daemon)}
    panels = panels_of(daemon, item.value, {name: one.mark.unit for name, one in known.items()})
    wanted = [known[name] for name in named_in(panels) if name in known][:MOST_SERIES]
    asked = visit.request.query_params.get("span", USUAL)
    span = asked if asked in SPANS else USUAL
    series: dict[str, Series] = {}
    if wanted:
        end = visit.service.now()
        start = end - SPANS[span]
        view = await visit.service.history.read(
            item.node, daemon, wanted, start=start, end=end, points=POINTS
        )
        series = series_of(view)
    drawn = dict(plots(panels, series))
    raw = pretty(item.value)
    return visit.page(
        "daemon.html",
        item=item,
        panels=panels,
        curves={name: sparkline(one) for name, one in series.items()},
        plots=drawn,
        wide=list(drawn)[-1:] if len(drawn) % 2 else [],
        raw=raw if len(raw) <= AS_TEXT else None,
        spans=SPANS if series else {},
        span=span,
    )


def named_in(blocks: Iterable[Block]) -> dict[str, None]:
    """Return the series that blocks want to show, those of charts first."""
    charted = (name for one in blocks if isinstance(one, Chart) for name, _ in one.series)
    small = (cell.series for cell in cells_of(blocks) if isinstance(cell, Curve))
    return dict.fromkeys([*charted, *small])


def cells_of(blocks: Iterable[Block]) -> Iterator[Cell]:
    for block in blocks:
        match block:
            case Table():
                yield from (cell for row in block.rows for cell in row)
            case Facts():
                yield from (cell for _, cell in block.pairs)
            case Tree():
                yield from (cell for branch in block.branches for cell in cells_below(branch))


def cells_below(branch: Branch) -> Iterator[Cell]:
    yield from branch.cells
    for one in branch.below:
        yield from cells_below(one)


def series_of(view: HistoryView) -> dict[str, Series]:
    """Return what was read as series of points; a step without a value is a gap."""
    return {
        one.name: Series(
            one.name,
            one.mark.kind,
            one.mark.unit,
            [
                (view.start + place * view.step, None if bucket is None else bucket.mean)
                for place, bucket in enumerate(one.buckets)
            ],
        )
        for one in view.series
    }


def plots(blocks: Iterable[Block], series: Mapping[str, Series]) -> Iterator[tuple[str, Plot]]:
    """Yield the charts that there is something to draw in, by title."""
    for block in blocks:
        if isinstance(block, Chart):
            named = [(label, series[name]) for name, label in block.series if name in series]
            if drawn := plot(named):
                yield block.title, drawn


PAGES = (Page("/nodes/{fqdn}/daemons/{daemon}", "read", show),)
