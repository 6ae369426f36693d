"""How a running job is told: to people (folded, with a progress bar), or as JSON to machines."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import click

from emf_manager.client.job_view import Answer, JobView, Target
from emf_manager.client.output import coloured, hint, one_line, say_json, say_jsonl, tidy
from emf_manager.nodesets import fold_nodes

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["ForPeople", "JsonDocument", "JsonLines", "Reporter", "counts_line", "tell_job"]


class Reporter(Protocol):
    """Is shown the job after each change, and once more when the watching ends."""

    def __enter__(self) -> Reporter: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, view: JobView) -> None:
        """Tell what is new."""

    def hear(self, node: str, lines: Sequence[str]) -> None:
        """Tell what an action has logged."""

    def end(self, view: JobView) -> None:
        """Tell how it ended, or where it was left."""


class Quiet:
    """A reporter that has nothing to set up and nothing to say on the way."""

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def show(self, view: JobView) -> None:
        """Say nothing."""

    def hear(self, node: str, lines: Sequence[str]) -> None:
        """Say nothing."""

    def end(self, view: JobView) -> None:
        """Say nothing."""


class JsonDocument(Quiet):
    """One document at the end."""

    def end(self, view: JobView) -> None:
        """Print the job with its counts and every target."""
        say_json(document(view))


class JsonLines(Quiet):
    """One line for each outcome as it comes in, and one with the counts at the end."""

    def __init__(self, *, follow: bool = False) -> None:
        self._told: set[str] = set()
        self._follow = follow
        self._job = ""

    def show(self, view: JobView) -> None:
        """Print the outcomes that are new."""
        self._job = view.id
        for target in view.targets.values():
            if target.final and target.node not in self._told:
                self._told.add(target.node)
                say_jsonl({"job": view.id, **plain(target)})

    def hear(self, node: str, lines: Sequence[str]) -> None:
        """Print what an action has logged, where that is asked for."""
        if self._follow:
            say_jsonl({"job": self._job, "node": node, "log": list(lines)})

    def end(self, view: JobView) -> None:
        """Print the counts."""
        self.show(view)
        open_nodes = [target.node for target in view.open_targets]
        say_jsonl({"job": view.id, "counts": view.counts(), "open": open_nodes})


class ForPeople(Quiet):
    """A progress bar on a terminal's stderr, the folded answers on stdout at the end."""

    def __init__(self, *, follow: bool = False) -> None:
        self._follow = follow
        """Print what actions log, in place of the bar."""
        self._progress: Progress | None = None
        self._bar: TaskID | None = None
        self._silent: frozenset[str] = frozenset()
        self._batch = 1

    def __enter__(self) -> Reporter:
        if sys.stderr.isatty() and not self._follow:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, view: JobView) -> None:
        """Move the bar; without one, name the nodes that fall silent."""
        silent = frozenset(
            target.node for target in view.open_targets if target.silent and target.state != "held"
        )
        if self._progress is None:
            if silent - self._silent:
                hint(f"waiting for silent nodes: {fold_nodes(silent)}")
            self._tell_batch(view)
        else:
            note = ", ".join(part for part in (step_of(view), silence(silent)) if part)
            note = note or news(view)
            done = len(view.targets) - len(view.open_targets)
            if self._bar is None:
                self._bar = self._progress.add_task(
                    one_line(view.action), total=len(view.targets), note=note
                )
            self._progress.update(self._bar, completed=done, note=one_line(note, width=60))
        self._silent = silent

    def _tell_batch(self, view: JobView) -> None:
        """Name a batch when it is released."""
        batch = max(
            (each.batch for each in view.targets.values() if each.state != "held"), default=1
        )
        if (batch > self._batch and view.held != ()) or batch == view.batches > self._batch:
            hint(f"batch {batch} of {view.batches}, {len(view.held)} nodes are held")
        self._batch = batch

    def hear(self, node: str, lines: Sequence[str]) -> None:
        """Print what an action has logged, where that is asked for."""
        if self._follow:
            for line in lines:
                click.echo(f"{node}: {one_line(line)}")

    def end(self, view: JobView) -> None:
        """Print the folded answers and the counts."""
        if self._progress is not None:
            self._progress.stop()
        tell_job(view)


def tell_job(view: JobView) -> None:
    """Print the folded answers, the nodes without one, and the counts."""
    for answer in view.answers():
        click.echo(answer_text(answer))
    out = [target for target in view.open_targets if target.state != "held"]
    silent = [target.node for target in out if target.silent]
    busy = [target.node for target in out if not target.silent]
    if held := [target.node for target in view.held]:
        click.echo(f"{fold_nodes(held)}: held: a later batch, not released yet")
    if busy:
        click.echo(f"{fold_nodes(busy)}: {coloured('running')}: no outcome yet")
    if silent:
        click.echo(f"{fold_nodes(silent)}: {coloured('silent')}: no contact, no outcome yet")
    click.echo(counts_line(view.counts()))


def answer_text(answer: Answer) -> str:
    """Return one line, or a heading with the text below it where the answer has several."""
    head = f"{fold_nodes(answer.nodes)}: {coloured(answer.outcome)}"
    said = tidy(answer.said).rstrip("\n")
    if "\n" in said:
        return "\n".join([f"{head}:", *(f"  {line}" for line in said.split("\n"))])
    return f"{head}: {said}" if said else head


def counts_line(counts: dict[str, int]) -> str:
    """Return the counts as a sum: ``16 targeted = 15 succeeded + 1 failed``."""
    parts = [
        f"{number} {name.replace('_', ' ')}"
        for name, number in counts.items()
        if name != "targeted" and number
    ]
    return f"{counts['targeted']} targeted = {' + '.join(parts) or '0'}"


def document(view: JobView) -> dict[str, Any]:
    """Return the job as one JSON document."""
    return {
        "job": view.id,
        "action": view.action,
        "state": "done" if view.done else "running",
        "counts": view.counts(),
        "targets": [plain(target) for target in view.targets.values()],
    }


def plain(target: Target) -> dict[str, Any]:
    return {
        "node": target.node,
        "outcome": target.outcome,
        "result": target.result,
        "reason": target.reason,
        "silent": target.silent,
    }


def step_of(view: JobView) -> str:
    """Return which batch is out, where there are several."""
    if not view.held:
        return ""
    now = min(target.batch for target in view.held) - 1
    return f"batch {now} of {view.batches}, {len(view.held)} held"


def silence(silent: Collection[str]) -> str:
    return f"silent: {fold_nodes(silent)}" if silent else ""


def news(view: JobView) -> str:
    messages = (target.message for target in view.open_targets if target.message)
    return next(messages, "")
