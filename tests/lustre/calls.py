"""Call an action as the agent does: arguments as they come, the answer as it goes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from emf_agent.plugin import Action, ActionContext, Progress

__all__ = ["ActionDesk"]


class ActionDesk:
    """The actions of one room, by name; remembers what they reported."""

    def __init__(self, actions: Sequence[Action[..., Any]]) -> None:
        self._actions = {one.name: one for one in actions}
        self.reports: list[Progress] = []

    async def call(self, name: str, args: Any, *, dry_run: bool = False) -> Any:
        """Return what the manager would get as Ok; raise what it would get as Err."""
        one = self._actions[name]
        assert not dry_run or one.dry_run
        context = ActionContext(dry_run=dry_run, report=self.reports.append)
        answer = one(**one.with_context(one.bind(args), context))
        return one.encode(await answer if inspect.isawaitable(answer) else answer)

    @property
    def logged(self) -> str:
        """Return the lines the actions logged."""
        return "\n".join(line for report in self.reports for line in report.log)
