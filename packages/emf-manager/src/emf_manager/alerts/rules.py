"""The life of alerts: from what holds now to what is raised and cleared. Time is an argument.

A condition that has held for long enough is raised, once; when it has been gone for long enough
its alert is cleared, and the next time is a new alert. One that comes and goes has to stay away
ever longer before it is cleared, so that flapping is one alert and not a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from typing_extensions import assert_never

from emf_manager.alerts.values import HAPPENED, KINDS, Alert, Condition, Key

__all__ = [
    "CALM_S",
    "MAX_CONDITIONS",
    "Clear",
    "Ended",
    "Event",
    "Gone",
    "Happened",
    "Order",
    "Raise",
    "Seen",
    "Tick",
    "Watch",
    "due",
    "named",
    "overdue",
    "recalled",
    "step",
]

CALM_S = 5.0
"""How long a condition has to be gone before its alert is cleared, the first time."""
MAX_CALM_S = 600.0
REMEMBERED_S = 3600.0
"""How long it counts that an alert was raised before."""
MAX_CONDITIONS = 64
"""Alerts of one node at a time: a quota, since what a report names is whatever the node says."""


@dataclass(frozen=True)
class Waiting:
    """It holds, or will, and is not raised yet."""

    condition: Condition
    due: float
    """Monotonic."""


@dataclass(frozen=True)
class Raised:
    """It holds, and there is an alert."""

    alert: int | None
    """Its number; None until it is written down."""


@dataclass(frozen=True)
class Leaving:
    """It holds no more, and its alert is not cleared yet."""

    alert: int
    due: float
    """Monotonic."""
    then: Waiting | None = None
    """It will hold again, but later than it is cleared: a new alert."""


Entry = Waiting | Raised | Leaving


@dataclass(frozen=True)
class Watch:
    """Everything about one node, or about the manager itself."""

    entries: Mapping[Key, Entry] = field(default_factory=dict)
    raises: Mapping[Key, tuple[float, ...]] = field(default_factory=dict)
    """When each was raised of late, monotonic."""


@dataclass(frozen=True)
class Seen:
    """Everything that holds now, or will; whatever is left out does not."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Happened:
    """Something that has no end of its own."""

    condition: Condition


@dataclass(frozen=True)
class Ended:
    """Somebody acknowledged an alert of what happened; the store has cleared it."""

    alert: int


@dataclass(frozen=True)
class Gone:
    """The node was removed: nothing holds of it."""


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


Event = Seen | Happened | Ended | Gone | Tick


@dataclass(frozen=True)
class Raise:
    """A new alert is to be written."""

    condition: Condition


@dataclass(frozen=True)
class Clear:
    """An alert is over."""

    alert: int


Order = Raise | Clear


def step(watch: Watch, event: Event, now: float, wall: float) -> tuple[Watch, tuple[Order, ...]]:
    """Return the watch after an event, and what must be written; ``now`` is monotonic.

    Nothing has happened until the caller keeps the returned watch: one that could not write what
    the orders say throws it away. After writing, ``named`` tells it the numbers of new alerts.
    """
    draft = Draft(watch, now, wall)
    match event:
        case Seen(conditions):
            draft.see(conditions)
            draft.pass_time()
        case Happened(condition):
            draft.happen(condition)
        case Ended(alert):
            draft.end(alert)
        case Gone():
            draft.go()
        case Tick():
            draft.pass_time()
        case _:
            assert_never(event)
    return Watch(draft.entries, draft.recent()), tuple(draft.orders)


def due(watch: Watch) -> float | None:
    """Return when the next ``Tick`` matters (monotonic), or None when none does."""
    moments = [e.due for e in watch.entries.values() if isinstance(e, Waiting | Leaving)]
    return min(moments, default=None)


def overdue(watch: Watch, now: float) -> frozenset[Key]:
    """Return what a ``Tick`` would raise or clear now."""
    return frozenset(
        key
        for key, entry in watch.entries.items()
        if isinstance(entry, Waiting | Leaving) and entry.due <= now
    )


def named(watch: Watch, numbers: Mapping[Key, int]) -> Watch:
    """Return the watch with the numbers that new alerts were given."""
    raised: dict[Key, Entry] = {key: Raised(number) for key, number in numbers.items()}
    return replace(watch, entries={**watch.entries, **raised})


def recalled(alerts: Iterable[Alert]) -> Watch:
    """Return the watch of a manager that starts again with these alerts not cleared."""
    return Watch({alert.key: Raised(alert.id) for alert in alerts})


class Draft:
    """One step in the making."""

    def __init__(self, watch: Watch, now: float, wall: float) -> None:
        self.entries: dict[Key, Entry] = dict(watch.entries)
        self.raises: dict[Key, tuple[float, ...]] = dict(watch.raises)
        self.now = now
        self.wall = wall
        self.orders: list[Order] = []

    def see(self, conditions: Iterable[Condition]) -> None:
        """Take in all that holds."""
        holding = {condition.key: condition for condition in conditions}
        for key in [*holding][MAX_CONDITIONS:]:
            del holding[key]
        for key, condition in holding.items():
            self._hold(key, condition)
        for key, entry in tuple(self.entries.items()):
            if key not in holding and key.kind not in HAPPENED:
                self._leave(key, entry)

    def happen(self, condition: Condition) -> None:
        """Raise what happened, where its alert is not there already."""
        room = sum(key.kind in HAPPENED for key in self.entries) < MAX_CONDITIONS
        if condition.key not in self.entries and room:
            self._raise(condition)

    def end(self, alert: int) -> None:
        """Forget an alert that was cleared by hand."""
        ended = [key for key, entry in self.entries.items() if entry == Raised(alert)]
        for key in ended:
            del self.entries[key]

    def go(self) -> None:
        """Clear at once whatever would end by itself; what happened is still for somebody."""
        for key, entry in tuple(self.entries.items()):
            if key.kind in HAPPENED:
                continue
            if isinstance(entry, Raised | Leaving) and entry.alert is not None:
                self.orders.append(Clear(entry.alert))
            del self.entries[key]
        self.raises = {}

    def pass_time(self) -> None:
        """Raise and clear whatever is due."""
        for key, entry in tuple(self.entries.items()):
            match entry:
                case Waiting(condition, due_at) if due_at <= self.now:
                    self._raise(condition)
                case Leaving(alert, due_at, then) if due_at <= self.now:
                    self.orders.append(Clear(alert))
                    del self.entries[key]
                    if then is not None:
                        self.entries[key] = then
                case _:
                    pass

    def recent(self) -> dict[Key, tuple[float, ...]]:
        """Return when each was raised, as far back as it counts."""
        kept = {
            key: tuple(at for at in times if self.now - at < REMEMBERED_S)
            for key, times in self.raises.items()
        }
        return {key: times for key, times in kept.items() if times}

    def _hold(self, key: Key, condition: Condition) -> None:
        entry = self.entries.get(key)
        match entry:
            case None:
                self.entries[key] = Waiting(condition, self._when(condition))
            case Waiting(before, due_at):
                moved = before.holds_from != condition.holds_from
                later = self._when(condition) if moved else due_at
                self.entries[key] = Waiting(condition, later)
            case Raised():
                if condition.holds_from is not None and condition.holds_from > self.wall:
                    self._leave(key, entry)
                    self._come_back(key, condition)
            case Leaving(alert):
                if condition.holds_from is None or condition.holds_from <= self.wall:
                    self.entries[key] = Raised(alert)
                else:
                    self._come_back(key, condition)
            case _:
                assert_never(entry)

    def _come_back(self, key: Key, condition: Condition) -> None:
        """Note when it will hold again; sooner than it would be cleared, it was never away."""
        leaving = self.entries[key]
        if not isinstance(leaving, Leaving):
            return
        again = Waiting(condition, self._when(condition))
        if again.due <= leaving.due:
            self.entries[key] = Raised(leaving.alert)
        else:
            self.entries[key] = replace(leaving, then=again)

    def _leave(self, key: Key, entry: Entry) -> None:
        if isinstance(entry, Waiting):
            del self.entries[key]
        elif isinstance(entry, Raised) and entry.alert is not None:
            self.entries[key] = Leaving(entry.alert, self.now + self._calm_s(key))
        elif isinstance(entry, Leaving):
            self.entries[key] = replace(entry, then=None)

    def _when(self, condition: Condition) -> float:
        ahead = 0.0 if condition.holds_from is None else condition.holds_from - self.wall
        return self.now + max(0.0, ahead) + KINDS[condition.key.kind]

    def _calm_s(self, key: Key) -> float:
        """Return how long it must stay away: doubled with each time it came back of late."""
        times = len(self.recent().get(key, ()))
        return min(MAX_CALM_S, CALM_S * 2.0 ** max(0, times - 1))

    def _raise(self, condition: Condition) -> None:
        key = condition.key
        self.entries[key] = Raised(None)
        self.orders.append(Raise(condition))
        self.raises[key] = (*self.raises.get(key, ()), self.now)[-16:]
