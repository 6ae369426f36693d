"""Rollouts: which nodes of a job go when, and when no more of them do. No clock, no store.

A job's nodes are laid out in batches when it is ordered. The first batch is released at once; the
next one when every node of those before has its outcome. What is not released is *held*, and ends
so where the rollout stops: too many nodes did not succeed, the canary did not, the deadline passed.
Two servers of one HA pair are never in the same batch, so they are never released together; where
it is not known how one of them ended, the other is not released at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import JsonValue
from typing_extensions import assert_never

from emf_agent.errors import UsageError
from emf_agent.wire import OutcomeKind
from emf_manager.records import Job, Target

__all__ = [
    "PARTNER_UNKNOWN",
    "Cancelled",
    "Ended",
    "Event",
    "Order",
    "Plan",
    "Release",
    "Rolling",
    "Rollout",
    "RolloutError",
    "Share",
    "Stop",
    "Tick",
    "due",
    "judge_sizes",
    "plan",
    "read_rollout",
    "resume",
    "step",
    "write_rollout",
]

FAIL_LIMIT = "fail-limit"
CANARY = "canary-failed"
DEADLINE = "deadline"
PARTNER_UNKNOWN = "ha-partner-unknown"
NODE_GONE = frozenset({"node-removed", "enrolled-again"})
"""Reasons of an unknown outcome that say that the node itself is no more: nobody's partner."""
HARMLESS = frozenset({"ok", "cancelled"})
"""Outcomes that are no failure: what somebody cancelled says nothing of the node."""


class RolloutError(UsageError):
    """An option contradicts another one, or the number of nodes; ``field`` names it."""

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(f"{field}: expected {expected}, got {got}")
        self.field = field
        self.expected = expected
        self.got = got


@dataclass(frozen=True)
class Share:
    """So many nodes, or so many of a hundred."""

    number: int
    percent: bool = False

    def of(self, total: int) -> int:
        """Return how many of ``total`` it is: a percentage is rounded up, and at least one."""
        return max(1, -(-total * self.number // 100)) if self.percent else self.number

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)


@dataclass(frozen=True)
class Rollout:
    """How a job is to go over its nodes; all of it empty is all nodes at once."""

    batch: Share | None = None
    """Nodes released together."""
    limit: Share | None = None
    """The first so many of the nodes that match; the others are left out."""
    canary: Share | None = None
    """Nodes that go first and alone; the others only where all of these succeeded."""
    fail_limit: Share | None = None
    """Nodes that have not succeeded, at which nothing more is released."""
    spread: Literal["ha"] | None = None
    """``ha``: never two servers of one HA pair at once."""


NAMES = ("batch", "limit", "canary", "fail_limit")


def write_rollout(rollout: Rollout) -> JsonValue:
    """Return a rollout as JSON; None where all nodes go at once."""
    told: dict[str, JsonValue] = {
        name: str(share) if share.percent else share.number
        for name in NAMES
        if (share := getattr(rollout, name)) is not None
    }
    if rollout.spread is not None:
        told["spread"] = rollout.spread
    return told or None


def read_rollout(value: JsonValue) -> Rollout:
    """Return the rollout that ``write_rollout`` wrote."""
    told = value if isinstance(value, dict) else {}
    shares = {name: read_share(told[name]) for name in NAMES if name in told}
    return Rollout(**shares, spread="ha" if told.get("spread") == "ha" else None)


def read_share(value: JsonValue) -> Share:
    text = str(value)
    return Share(int(text.rstrip("%")), percent=text.endswith("%"))


# What goes when


@dataclass(frozen=True)
class Plan:
    """Nodes by batch, in the order in which they go, and those beyond the limit."""

    batches: tuple[tuple[str, ...], ...]
    beyond: tuple[str, ...] = ()


def plan(nodes: Sequence[str], rollout: Rollout, apart: Mapping[str, str]) -> Plan:
    """Lay nodes out in batches, in the order given.

    ``apart`` names for a node the HA cluster it is a server of. A node that finds a server of its
    cluster in every batch begun so far waits for a later one: a batch may be smaller than asked
    for.
    """
    kept = len(nodes) if rollout.limit is None else min(rollout.limit.of(len(nodes)), len(nodes))
    chosen, beyond = tuple(nodes[:kept]), tuple(nodes[kept:])
    spread = apart if rollout.spread == "ha" else {}
    size = len(chosen) if rollout.batch is None else rollout.batch.of(len(chosen))
    batches: list[tuple[str, ...]] = []
    if rollout.canary is not None:
        first = one_batch(chosen, rollout.canary.of(len(chosen)), spread)
        batches.append(first)
        gone = frozenset(first)
        chosen = tuple(node for node in chosen if node not in gone)
    return Plan((*batches, *several_batches(chosen, size, spread)), beyond)


def one_batch(nodes: Sequence[str], size: int, spread: Mapping[str, str]) -> tuple[str, ...]:
    """Return the first nodes of which no two are of one cluster."""
    batch: list[str] = []
    seen: set[str] = set()
    for node in nodes:
        if len(batch) == size:
            break
        cluster = spread.get(node)
        if cluster is None or cluster not in seen:
            batch.append(node)
            seen.add(cluster or node)
    return tuple(batch)


def several_batches(
    nodes: Sequence[str], size: int, spread: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Return all nodes in batches, each node in the first one that has room for it."""
    batches: list[list[str]] = []
    next_of: Counter[str] = Counter()
    """By cluster, the first batch that has no server of it."""
    open_from = 0
    for node in nodes:
        while open_from < len(batches) and len(batches[open_from]) >= size:
            open_from += 1
        place = open_from
        cluster = spread.get(node)
        if cluster is not None:
            place = max(place, next_of[cluster])
            while place < len(batches) and len(batches[place]) >= size:
                place += 1
            next_of[cluster] = place + 1
        while len(batches) <= place:
            batches.append([])
        batches[place].append(node)
    return [tuple(batch) for batch in batches if batch]


def judge_sizes(rollout: Rollout, total: int) -> None:
    """Refuse options that cannot mean anything for so many nodes.

    Raises:
        RolloutError: with the option.

    """
    for name in ("canary", "fail_limit"):
        share: Share | None = getattr(rollout, name)
        if share is not None and share.of(total) > total:
            raise RolloutError(name, f"at most the {total} nodes of the job", str(share))


# While it runs


@dataclass(frozen=True)
class Piece:
    """One node that is held."""

    action_id: str
    node: str
    batch: int
    apart: str | None


@dataclass(frozen=True)
class Rolling:
    """A job some of whose nodes are held."""

    job_id: str
    held: tuple[Piece, ...]
    """The next ones first."""
    out: frozenset[str]
    """Released, without an outcome: action ids."""
    failed: frozenset[str]
    unsure: frozenset[str]
    """Of those, the ones of which nobody knows whether they still run."""
    canary: frozenset[str]
    """What goes first and alone, where something does."""
    canary_failed: bool
    fail_limit: int | None
    deadline: float | None
    """Wall clock."""
    clusters: Mapping[str, str]
    """By action id, the HA cluster of its node."""


@dataclass(frozen=True)
class Ended:
    """A node has its outcome; one that was unknown may get another."""

    action_id: str
    kind: OutcomeKind
    reason: str | None = None


@dataclass(frozen=True)
class Cancelled:
    """Somebody wants no more of it, on these nodes or on all."""

    nodes: Collection[str] | None = None


@dataclass(frozen=True)
class Tick:
    """Time has passed, or the manager has started."""


Event = Ended | Cancelled | Tick


@dataclass(frozen=True)
class Release:
    """Hand these out."""

    batch: int
    action_ids: tuple[str, ...]


@dataclass(frozen=True)
class Stop:
    """These are never handed out; this is their outcome."""

    action_ids: tuple[str, ...]
    kind: Literal["cancelled", "expired"]
    reason: str


Order = Release | Stop


def resume(job: Job, targets: Iterable[Target]) -> Rolling:
    """Return a job as it stands by what is written down; let a ``Tick`` follow."""
    every = tuple(targets)
    rollout = read_rollout(job.rollout)
    held = [Piece(t.action_id, t.node, t.batch, t.apart) for t in every if t.state == "held"]
    canary = frozenset(t.action_id for t in every if t.batch == 1) if rollout.canary else ()
    rolling = Rolling(
        job_id=job.id,
        held=tuple(sorted(held, key=lambda piece: piece.batch)),
        out=frozenset(t.action_id for t in every if t.state not in ("held", "final")),
        failed=frozenset(),
        unsure=frozenset(),
        canary=frozenset(canary),
        canary_failed=False,
        fail_limit=None if rollout.fail_limit is None else rollout.fail_limit.of(len(every)),
        deadline=job.deadline,
        clusters={t.action_id: t.apart for t in every if t.apart is not None},
    )
    for target in every:
        if target.outcome is not None:
            ended = Ended(target.action_id, target.outcome.kind, target.outcome.reason)
            rolling = after(rolling, ended)
    return rolling


def step(rolling: Rolling, event: Event, wall: float) -> tuple[Rolling, tuple[Order, ...]]:
    """Return the job after an event, and what must be done, in this order."""
    match event:
        case Ended():
            return advance(after(rolling, event), wall)
        case Cancelled(nodes):
            mine = tuple(p for p in rolling.held if nodes is None or p.node in nodes)
            rest, orders = stopped(rolling, mine, "cancelled", "before it was released")
            rest, more = advance(rest, wall)
            return rest, (*orders, *more)
        case Tick():
            return advance(rolling, wall)
    assert_never(event)


def due(rolling: Rolling) -> float | None:
    """Return when the next ``Tick`` matters (wall clock), or None when none does."""
    return rolling.deadline if rolling.held else None


def after(rolling: Rolling, ended: Ended) -> Rolling:
    """Note an outcome."""
    this = frozenset({ended.action_id})
    harmless = ended.kind in HARMLESS
    sure = ended.kind != "unknown" or ended.reason in NODE_GONE
    missed = ended.action_id in rolling.canary and ended.kind != "ok"
    held = rolling.held
    if any(piece.action_id == ended.action_id for piece in held):
        held = tuple(piece for piece in held if piece.action_id != ended.action_id)
    return replace(
        rolling,
        held=held,
        out=rolling.out - this,
        failed=rolling.failed - this if harmless else rolling.failed | this,
        unsure=rolling.unsure - this if sure else rolling.unsure | this,
        canary_failed=rolling.canary_failed or missed,
    )


def advance(rolling: Rolling, wall: float) -> tuple[Rolling, tuple[Order, ...]]:
    """Release or stop what is held, as far as it may be now."""
    if not rolling.held:
        return rolling, ()
    if rolling.deadline is not None and wall >= rolling.deadline:
        return stopped(rolling, rolling.held, "expired", DEADLINE)
    if rolling.canary_failed:
        return stopped(rolling, rolling.held, "cancelled", CANARY)
    if rolling.fail_limit is not None and len(rolling.failed) >= rolling.fail_limit:
        return stopped(rolling, rolling.held, "cancelled", FAIL_LIMIT)
    orders: tuple[Order, ...] = ()
    unsure = {rolling.clusters.get(action_id) for action_id in rolling.unsure} - {None}
    while rolling.held and not rolling.out:
        batch = rolling.held[0].batch
        now = tuple(piece for piece in rolling.held if piece.batch == batch)
        blocked = tuple(piece for piece in now if piece.apart in unsure)
        rolling, more = stopped(rolling, blocked, "cancelled", PARTNER_UNKNOWN)
        free = tuple(piece.action_id for piece in now if piece.apart not in unsure)
        rolling = replace(rolling, held=rolling.held[len(now) - len(blocked) :])
        if free:
            rolling = replace(rolling, out=frozenset(free))
            more = (*more, Release(batch, free))
        orders = (*orders, *more)
    return rolling, orders


def stopped(
    rolling: Rolling, pieces: Collection[Piece], kind: Literal["cancelled", "expired"], reason: str
) -> tuple[Rolling, tuple[Order, ...]]:
    if not pieces:
        return rolling, ()
    gone = frozenset(piece.action_id for piece in pieces)
    rest = tuple(piece for piece in rolling.held if piece.action_id not in gone)
    ids = tuple(piece.action_id for piece in pieces)
    return replace(rolling, held=rest), (Stop(ids, kind, reason),)
