"""Daemons that list something for each file system: a listing that failed is never an empty one.

Listing happens beside the updates, so that a node whose ``lctl`` waits costs no deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

import anyio

from emf_agent.command import CommandNotFoundError
from emf_agent.errors import EmfError
from emf_agent.plugin import Daemon, DaemonFault, NotApplicableError

__all__ = ["Survey", "SurveyDaemon", "merge"]

T = TypeVar("T")


@dataclass(frozen=True)
class Survey(Generic[T]):
    """What one look found: per file system its value, or why it could not be listed."""

    found: Mapping[str, T] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def complaint(self) -> str | None:
        """Return the failures as one sentence."""
        told = [f"{name}: {why}" for name, why in sorted(self.failed.items())]
        return f"could not list {'; '.join(told)}" if told else None


def merge(known: Mapping[str, T], survey: Survey[T]) -> dict[str, T]:
    """Return what is known now: what failed keeps its last value, what is gone is gone."""
    kept = {name: known[name] for name in survey.failed if name in known}
    return dict(sorted({**kept, **survey.found}.items()))


class SurveyDaemon(Daemon, Generic[T]):
    """Looks every ``pause_s`` seconds, and has the manager told of changes and of failures."""

    pause_s: ClassVar[float] = 10.0
    """Seconds between the end of a look and the beginning of the next one."""
    patience_s: ClassVar[float] = 60.0
    """Seconds a look may take."""
    first_look_s: ClassVar[float] = 3.0
    """Seconds of the start spent on waiting for the first look."""

    def __init__(self) -> None:
        self._known: dict[str, T] | None = None
        self._has_news = False
        self._fault: str | None = None

    async def survey(self) -> Survey[T]:
        """Look at each file system; what an error of ours is raised for fails them all."""
        raise NotImplementedError

    async def start_session(self) -> dict[str, T] | None:
        """Look for the first time.

        Raises:
            NotApplicableError: a program that every Lustre server has is not on this node.
            DaemonFault: see ``update_session``.

        """
        with anyio.move_on_after(self.first_look_s):
            await self._look(starting=True)
        return self.latest()

    async def update_session(self) -> dict[str, T] | None:
        """Return what is known.

        Raises:
            DaemonFault: something could not be listed, and there is nothing new beside it.

        """
        return self.latest()

    async def watch_session(self) -> None:
        """Look again and again."""
        while True:
            if self._known is not None or self._fault is not None:
                await anyio.sleep(self.pause_s)
            await self._look(starting=False)
            if self._has_news:
                self.context.wake()

    def latest(self) -> dict[str, T] | None:
        """Return the value; raise the fault instead where the value has been told already."""
        if self._fault is not None and not self._has_news:
            raise DaemonFault(self._fault)
        self._has_news = False
        return self._known

    async def _look(self, *, starting: bool) -> None:
        try:
            with anyio.fail_after(self.patience_s):
                survey = await self.survey()
        except CommandNotFoundError as error:
            if starting:
                raise NotApplicableError(str(error)) from error
            self._fault = str(error)
            return
        except EmfError as error:
            self._fault = str(error)
            return
        except TimeoutError:
            self._fault = f"looking took longer than {self.patience_s:g} s"
            return
        self._take(survey)

    def _take(self, survey: Survey[T]) -> None:
        self._fault = survey.complaint
        now = merge(self._known or {}, survey)
        if survey.failed and not now and self._known is None:
            return  # nothing is known about anything: no value at all, not an empty one
        if now != self._known:
            self._known, self._has_news = now, True
