"""Prints the session's transition table from the rules; `--write` puts it into the docs."""

from __future__ import annotations

import sys
from pathlib import Path

from emf_agent import session_state as s

PAGE = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- transitions: begin -->", "<!-- transitions: end -->"

NOW = 100.0
STATES: dict[str, s.State] = {
    "Empty, due": s.Empty(due=NOW),
    "Pending": s.Pending(generation=0, since=NOW - 1),
    "Pending, unanswered for 30 s": s.Pending(generation=0, since=NOW - 30),
    "Active": s.Active("id", since=NOW - 60, generation=0),
}
EVENTS: dict[str, s.Event] = {
    "tick": s.Tick(),
    "opened, the same id": s.Opened("id"),
    "opened, another id": s.Opened("other"),
    "request failed": s.AskFailed(0, "why", pause_s=5.0),
    "terminated": s.Terminated("id", "why"),
    "terminated, another id": s.Terminated("other", "why"),
    "all terminated": s.Terminated(None, "why"),
    "link renewed": s.LinkRenewed(),
    "instance started": s.InstanceStarted("id"),
    "instance failed": s.InstanceFailed("id", "why", "retry", pause_s=5.0),
    "instance not applicable": s.InstanceFailed("id", "why", "not-applicable", pause_s=5.0),
    "agent stops": s.Stop("why"),
}


def state_text(state: s.State) -> str:
    """Name a state as the table does."""
    match state:
        case s.Empty(due=due):
            when = "never again" if due == float("inf") else f"in {due - NOW:g} s"
            return "Empty" if due <= NOW else f"Empty ({when})"
        case s.Pending():
            return "Pending"
        case s.Active(asked_at=asked_at):
            return "Active" if asked_at is None else "Active, asking to resume"


def order_text(order: s.Order) -> str:
    """Name an order as the table does."""
    match order:
        case s.Ask(resume=None):
            return "ask for a session"
        case s.Ask():
            return "ask to resume it"
        case s.StartInstance():
            return "start an instance"
        case s.StopInstance(tell_manager=tell):
            return "stop the instance" + (", tell the manager" if tell else "")


def table() -> str:
    """Return the rows of every pair that changes something."""
    rows = ["| state | event | next | orders |", "| --- | --- | --- | --- |"]
    for state_name, state in STATES.items():
        for event_name, event in EVENTS.items():
            after, orders = s.step(state, event, NOW, s.Rules())
            if (after, orders) == (state, ()):
                continue
            told = "; ".join(map(order_text, orders)) or "-"
            rows.append(f"| {state_name} | {event_name} | {state_text(after)} | {told} |")
    return "\n".join(rows)


def written(page: str) -> str:
    """Return the page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(written(PAGE.read_text()))
    else:
        print(table())
