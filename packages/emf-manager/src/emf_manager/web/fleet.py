"""The fleet: as a map of tiles, as a table with pages, and found by what is typed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from urllib.parse import quote, urlencode

from starlette.responses import Response

from emf_manager.api import alert_models as m
from emf_manager.api import translate
from emf_manager.api.alerts import shown
from emf_manager.api.paging import decode_cursor, encode_cursor
from emf_manager.api.problems import ProblemError
from emf_manager.api.targets import matching, pick
from emf_manager.nodesets import full_names
from emf_manager.store.alert_rows import AlertFilter
from emf_manager.web.fleet_map import RANK, STANDINGS, Tile, grouped, tally, tiles
from emf_manager.web.pages import UI, Page, Visit

__all__ = ["PAGES"]

ROWS = 100
CHIPS = 64
"""Groups of so many nodes show names; larger ones are tiles."""
MANY = 1000
"""Groups above this have smaller tiles."""
TROUBLED = 24
"""Nodes in trouble that a large group names."""
JOBS_LOOKED_AT = 50
ALERTS_SHOWN = 10
EVENTS_SHOWN = 12
EVENTS_LOOKED_AT = 200
Q_CHARS = 1000


@dataclass(frozen=True)
class Filter:
    """What of the fleet is looked at; every part as it was typed."""

    nodes: str = ""
    state: str = ""
    like: str = ""
    facts: str = ""
    """Filters such as ``os.name=rhel``, with blanks between them."""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filter:
        """Read it from an address."""
        names = ("nodes", "state", "like", "facts")
        return cls(*(query.get(name, "").strip()[:65536] for name in names))

    def choose(self, nodes: tuple[Tile, ...], wanted: Collection[str] | None) -> tuple[Tile, ...]:
        """Return the nodes it means; ``wanted`` are those of its node set, if it has one."""
        like = self.like.casefold()
        return tuple(
            node
            for node in nodes
            if (wanted is None or node.fqdn in wanted)
            and self.state in {"", node.standing}
            and like in node.fqdn.casefold()
        )

    def query(self, **more: str) -> str:
        """Return it as an address has it, with a ``?`` where it is not empty."""
        known = {**asdict(self), **more}
        text = urlencode({name: value for name, value in known.items() if value})
        return f"?{text}" if text else ""


async def chosen(visit: Visit) -> tuple[Filter, tuple[Tile, ...], ProblemError | None]:
    """Return the filter of an address, the nodes it leaves, and what is wrong with it."""
    asked = Filter.of(visit.request.query_params)
    service = visit.service
    nodes = tiles(await service.engine.roll(), service.alerts.counts())
    try:
        wanted = None
        if asked.facts:
            facts = asked.facts.split()
            wanted = frozenset((await pick(service, asked.nodes or "*", None, facts)).nodes)
        elif asked.nodes:
            wanted = frozenset(await matching(service, asked.nodes, None))
        return asked, asked.choose(nodes, wanted), None
    except ProblemError as problem:
        return asked, (), problem


async def show_map(visit: Visit) -> Response:
    """Show the fleet as tiles, with the jobs that run and what happened last."""
    asked, nodes, problem = await chosen(visit)
    engine = visit.service.engine
    jobs = await engine.jobs(limit=JOBS_LOOKED_AT)
    newest = await engine.last_event()
    events = await engine.events(after=max(0, newest - EVENTS_LOOKED_AT), limit=EVENTS_LOOKED_AT)
    return visit.page(
        "fleet.html",
        asked=asked,
        problem=problem,
        total=len(nodes),
        counts=tally(nodes),
        groups=grouped(nodes),
        standings=STANDINGS,
        chips=CHIPS,
        many=MANY,
        troubled=TROUBLED,
        alerts_shown=ALERTS_SHOWN,
        alerts=await open_alerts(visit, asked, nodes),
        jobs=[translate.job_summary(job) for job in jobs if job.state == "running"],
        events=[translate.event(event) for event in reversed(events[-EVENTS_SHOWN:])],
    )


async def open_alerts(visit: Visit, asked: Filter, nodes: tuple[Tile, ...]) -> list[m.Alert]:
    """Return the newest alerts that nobody looks after, of the nodes that are shown."""
    which = frozenset(node.fqdn for node in nodes) if asked.query() else None
    found = await visit.service.alerts.listed(
        AlertFilter(state="open", nodes=which, kind=None, severity=None),
        before=None,
        limit=ALERTS_SHOWN,
    )
    return list(map(shown, found))


async def show_table(visit: Visit) -> Response:
    """Show the fleet as a table, the worst first, a page at a time."""
    asked, nodes, problem = await chosen(visit)
    ordered = nodes
    cursor = visit.request.query_params.get("cursor")
    if cursor is not None:
        after = decode_cursor(cursor, int, str)
        ordered = tuple(n for n in nodes if (RANK[n.standing], n.fqdn) > after)
    cut = ordered[:ROWS]
    following = None
    if len(ordered) > ROWS:
        following = encode_cursor((RANK[cut[-1].standing], cut[-1].fqdn))
    return visit.page(
        "nodes.html",
        asked=asked,
        problem=problem,
        total=len(nodes),
        counts=tally(nodes),
        nodes=[(node, translate.moment(node.last_contact)) for node in cut],
        standings=STANDINGS,
        cursor=cursor,
        following=following,
    )


async def find(visit: Visit) -> Response:
    """Go to the node, the node set, or the nodes whose names have what was typed."""
    typed = visit.request.query_params.get("q", "").strip()[:Q_CHARS]
    known = [node.fqdn for node in await visit.service.engine.roll()]
    if node := full_names(known).get(typed):
        return visit.go(f"{UI}/nodes/{quote(node, safe='')}")
    try:
        await matching(visit.service, typed or None, None)
    except ProblemError:
        return visit.go(f"{UI}/nodes" + Filter(like=typed).query())
    return visit.go(f"{UI}/nodes" + Filter(nodes=typed).query())


PAGES = (
    Page("/", "read", show_map, nav="Fleet"),
    Page("/nodes", "read", show_table),
    Page("/find", "read", find),
)
