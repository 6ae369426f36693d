"""The pages of jobs: all of them, and one with the outcome on every node."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from emf_manager.api import models as m
from emf_manager.api.paging import Page as ListPage
from emf_manager.client.job_view import JobView, Target
from emf_manager.nodesets import fold_nodes
from emf_manager.web.answers import get
from emf_manager.web.pages import UI, Page, Visit

__all__ = ["PAGES", "Folded", "Share", "folded", "shares"]

LONGEST = 300
"""Characters of an answer in the list of nodes; the folded answers have all of it."""
ROWS = 100
"""Nodes that are listed one by one on one page of a job."""
TONES = {
    "succeeded": "ok", "failed": "bad", "timed_out": "bad", "refused": "bad", "cancelled": "warn",
    "expired": "warn", "unknown": "warn", "started": "busy", "accepted": "busy",
    "offered": "busy", "queued": "idle", "held": "idle",
}  # fmt: skip
WORST = ("failed", "timed_out", "refused", "unknown", "expired", "cancelled")


@dataclass(frozen=True)
class Share:
    """One of the counts of a job, and its part of the bar."""

    name: str
    count: int
    tone: str
    begin: float
    """Where its part begins, percent."""
    width: float


@dataclass(frozen=True)
class Folded:
    """Equal answers of several nodes."""

    outcome: str
    said: str
    nodes: str
    count: int


async def show_all(visit: Visit) -> Response:
    """List jobs, the newest first."""
    asked = visit.request.query_params
    user = asked.get("user", "")[:255]
    cursor = asked.get("cursor")
    found = await get(
        visit, ListPage[m.JobSummary], "/jobs", limit=50, cursor=cursor, user=user or None
    )
    rows = [(job, shares(job.counts)) for job in found.items]
    return visit.page("jobs.html", rows=rows, following=found.next, user=user, cursor=cursor)


async def show(visit: Visit) -> Response:
    """Show one job: how far it is, what was answered, and how each node stands."""
    answer = await visit.call("GET", f"/jobs/{visit.request.path_params['job_id']}")
    job = m.Job.model_validate(answer.body)
    only, begin = visit.request.query_params.get("only", ""), start(visit)
    rows = sorted((one for one in job.targets if wanted(one, only)), key=rank)
    silent = [one.node for one in job.targets if one.silent and one.state != "final"]
    return visit.page(
        "job.html",
        job=job,
        shares=shares(job.counts),
        answers=folded(JobView.from_json(answer.body)),
        silent=(fold_nodes(silent), len(silent)),
        rows=rows[begin : begin + ROWS],
        begin=begin,
        total=len(rows),
        step=ROWS,
        said=said,
        outcome_name=outcome_name,
        line=json.dumps(job.args, ensure_ascii=False),
        only=only,
    )


def start(visit: Visit) -> int:
    """Return the number of rows that are passed over."""
    said = visit.request.query_params.get("from", "0")
    return int(said) if said.isdecimal() and len(said) < 8 else 0


def shares(counts: m.Counts) -> tuple[Share, ...]:
    """Return the counts that are not zero, in the order of the bar, and where they stand in it."""
    found: list[Share] = []
    begin = 0.0
    numbers = counts.model_dump(exclude={"targeted"})
    for name in (*TONES, *(other for other in numbers if other not in TONES)):
        count = numbers.get(name, 0)
        if count:
            width = 100 * count / max(1, counts.targeted)
            tone = TONES.get(name, "idle")
            found.append(Share(name, count, tone, round(begin, 2), round(width, 2)))
            begin += width
    return tuple(found)


def folded(job: JobView) -> Sequence[Folded]:
    """Return what was answered, equal answers together; what went wrong comes first."""
    answers = [
        Folded(outcome_name(one.outcome), one.said, fold_nodes(one.nodes), len(one.nodes))
        for one in job.answers()
    ]
    return sorted(answers, key=lambda one: one.outcome == "succeeded")


def outcome_name(outcome: str) -> str:
    return "succeeded" if outcome == "ok" else outcome


def wanted(target: m.JobTarget, only: str) -> bool:
    """Tell whether a node is among those asked for: by state, by outcome, or silent."""
    if only == "silent":
        return target.silent and target.state != "final"
    return only in ("", target.state, outcome_name(target.outcome or ""))


def said(target: m.JobTarget) -> str:
    """Return what people read of a node's answer, or of how far it is."""
    if target.outcome is None:
        return target.message or ""
    told = Target(
        target.node,
        target.state,
        outcome=target.outcome,
        result=target.result,
        reason=target.reason,
    )
    return told.said[:LONGEST]


def rank(target: m.JobTarget) -> tuple[int, int, str]:
    """Return what sorts the worst to the top, then what is still open."""
    outcome = target.outcome or ""
    bad = WORST.index(outcome) if outcome in WORST else len(WORST)
    return (bad, target.state == "final", target.node)


async def cancel(visit: Visit) -> Response:
    """Ask for the end of a job."""
    job_id = visit.request.path_params["job_id"]
    await visit.call("POST", f"/jobs/{job_id}/cancel")
    return visit.go(f"{UI}/jobs/{job_id}")


PAGES = (
    Page("/jobs", "read", show_all, nav="Jobs"),
    Page("/jobs/{job_id}", "read", show),
    Page("/jobs/{job_id}/cancel", "operate", cancel, methods=("POST",)),
)
