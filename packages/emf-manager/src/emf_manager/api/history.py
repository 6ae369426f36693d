"""Routes of the history: which series a daemon has, and what they were."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from emf_manager.api import history_models as m
from emf_manager.api.fleet import latest, missing, one_node
from emf_manager.api.problems import FieldFault, ProblemError
from emf_manager.api.service import Manager
from emf_manager.api.translate import moment
from emf_manager.history.book import HistoryView, SeriesView
from emf_manager.history.downsampling import Bucket

__all__ = ["router"]

router = APIRouter(tags=["fleet"])

HOUR_S = 3600.0
LONGEST_S = 10 * 366 * 86400.0
DIGITS = 7
"""The history keeps so many; more would pretend."""


@router.get("/history/{fqdn}/{daemon}", response_model=m.History)
async def show_history(
    manager: Manager, fqdn: str, daemon: str, query: Annotated[m.HistoryQuery, Query()]
) -> Any:
    """List the series of one daemon on one node; with `series`, show them over a span of time."""
    name = await one_node(manager, fqdn)
    known = {one.name: one for one in await manager.history.series(name, daemon)}
    if not known:
        await latest(manager, name, daemon)  # whether there is such a daemon at all
    if not query.series:
        listed = tuple(series(one) for one in known.values())
        return m.History(node=name, daemon=daemon, series=listed)
    for wanted in query.series:
        if wanted not in known:
            raise missing(f"series of {name} {daemon}", wanted, known)
    start, end = span(query, manager.now())
    view = await manager.history.read(
        name,
        daemon,
        [known[wanted] for wanted in query.series],
        start=start,
        end=end,
        points=query.points,
    )
    return history(name, daemon, view)


def span(query: m.HistoryQuery, now: float) -> tuple[float, float]:
    """Return from when to when.

    Raises:
        ProblemError: they do not make a span.

    """
    end = min(now, seconds(query.end, now))
    if query.start is not None and query.last is not None:
        raise impossible("query.last", "no `from` beside it", str(query.last))
    start = seconds(query.start, end - (query.last or HOUR_S))
    if not 0 < end - start <= LONGEST_S:
        expected = "a time before `to` and before now, by ten years at most"
        raise impossible("query.from", expected, str(query.start))
    return start, end


def impossible(field: str, expected: str, got: str) -> ProblemError:
    fault = FieldFault(field=field, expected=expected, got=got)
    return ProblemError(422, "invalid", f"{field}: expected {expected}, got {got}", errors=[fault])


def seconds(given: datetime | None, otherwise: float) -> float:
    return otherwise if given is None else given.timestamp()


def history(node: str, daemon: str, view: HistoryView) -> m.History:
    """Return series with their points."""
    count = max((len(one.buckets) for one in view.series), default=0)
    return m.History(
        node=node,
        daemon=daemon,
        step_s=view.step,
        times=tuple(view.start + place * view.step for place in range(count)),
        series=tuple(series(one) for one in view.series),
    )


def series(view: SeriesView) -> m.Series:
    """Return one series."""
    return m.Series(
        name=view.name,
        kind=view.mark.kind,
        unit=view.mark.unit,
        last=rounded(view.last),
        at=moment(view.at),
        mean=column(view, "mean"),
        min=column(view, "low"),
        max=column(view, "high"),
    )


def column(view: SeriesView, which: str) -> m.Values:
    return tuple(None if one is None else rounded(told(one, which)) for one in view.buckets)


def told(bucket: Bucket, which: str) -> float:
    value: float = getattr(bucket, which)
    return value


def rounded(value: float | None) -> float | None:
    """Return a number with the digits that are known of it."""
    if value is None or value == 0:
        return value
    return round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))
