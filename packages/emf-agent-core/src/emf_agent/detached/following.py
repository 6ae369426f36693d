"""Long actions as the agent sees them: begun in a unit, followed to the end, over restarts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from emf_agent.action_call import Verdict
from emf_agent.command import CommandStuckError
from emf_agent.detached.files import ActionFolder, Order, key_of
from emf_agent.detached.units import Units, UnitState
from emf_agent.errors import CommandError, EmfError
from emf_agent.plugin import Progress
from emf_agent.wire import Err

__all__ = ["DetachedActions"]

logger = logging.getLogger(__name__)

READ_EVERY_S = 0.5
ASK_EVERY_S = 3.0
"""How often systemd is asked whether the unit is still there: its files tell all the rest."""
LATER_S = 1.0
"""The unit's own limit is this much later than the agent's, which can say more."""


@dataclass(frozen=True)
class DetachedActions:
    """The units that carry actions, and the folders through which they report."""

    units: Units
    directory: Path
    program: Sequence[str]
    """The command that performs the order in the folder given as its last argument."""

    async def begin(self, order: Order) -> Verdict | None:
        """Start the unit of an order; returns the verdict where it was not begun."""
        folder, unit = self._folder(order.id), unit_of(order.id)
        try:
            if await self.units.state(unit) is not None:
                why = f"{unit} exists: an action of this id was begun before, and is not known here"
                return Verdict("unknown", Err(text=why), reason="unit-exists")
            folder.remove()
            folder.place(order)
        except (EmfError, OSError) as error:
            folder.remove()
            return not_begun(str(error))
        try:
            await self.units.start(
                unit, [*self.program, str(folder.path)], limit_s=order.timeout_s + LATER_S
            )
        except CommandError as error:
            # Whether it began shows in what is there, not in what the start said.
            try:
                if await self.units.state(unit) is not None:
                    return None
            except CommandError:
                return None
            if not folder.is_unread():
                return None
            folder.remove()
            return not_begun(str(error))
        return None

    async def follow(
        self, action_id: str, report: Callable[[Progress], None], *, resumed: bool = False
    ) -> Verdict:
        """Wait for the end of a unit, passing its progress on; may be cancelled and called again.

        ``resumed``: what it reported to a former process is not told again.
        """
        folder, unit = self._folder(action_id), unit_of(action_id)
        if resumed:
            folder.news()
        ask_at = anyio.current_time()
        while True:
            for progress in folder.news():
                report(progress)
            verdict = folder.verdict()
            if verdict is not None:
                return verdict
            if anyio.current_time() >= ask_at:
                ask_at = anyio.current_time() + ASK_EVERY_S
                try:
                    state = await self.units.state(unit)
                except CommandError as error:
                    logger.warning("how %s fares cannot be told now: %s", unit, error)
                else:
                    if state is None or not state.runs:
                        # It may have ended between the two looks.
                        return folder.verdict() or without_result(folder, state)
            await anyio.sleep(READ_EVERY_S)

    async def stop(self, action_id: str) -> Verdict | None:
        """Stop a unit; returns a verdict where it had finished first, or could not be stopped."""
        unit = unit_of(action_id)
        try:
            stuck = await self.units.stop(unit)
        except CommandError as error:
            why = f"could not be stopped: {error}"
            return Verdict("unknown", Err(text=why), reason=why)
        finished = self._folder(action_id).verdict()
        if finished is None and stuck:
            why = str(CommandStuckError(unit, tuple(stuck)))
            return Verdict("unknown", Err(text=why), reason=why)
        return finished

    async def release(self, action_id: str) -> None:
        """Forget a unit whose outcome is in the journal."""
        await self._release(key_of(action_id))

    async def sweep(self, keep: Collection[str]) -> None:
        """Release what a former process had recorded and not yet released; keep these ids.

        What still runs is left alone: its journal was lost, or it could not be stopped.
        """
        kept = {key_of(one) for one in keep}
        if not self.directory.is_dir():
            return
        for path in sorted(self.directory.iterdir()):
            if path.name in kept:
                continue
            try:
                state = await self.units.state(unit_of(path.name))
            except CommandError as error:
                logger.warning("what former agents left cannot be swept: %s", error)
                return
            if state is not None and state.runs:
                logger.warning("%s runs, and is not in the journal", unit_of(path.name))
            else:
                await self._release(path.name)

    async def _release(self, key: str) -> None:
        try:
            await self.units.forget(unit_of(key))
        except CommandError as error:
            # Its folder stays, so that the next start tries again.
            logger.warning("%s cannot be released: %s", unit_of(key), error)
            return
        ActionFolder(self.directory / key).remove()

    def _folder(self, action_id: str) -> ActionFolder:
        return ActionFolder(self.directory / key_of(action_id))


def unit_of(action_id: str) -> str:
    """Return the name of an action's unit (security, section 9.2)."""
    return f"emf-action-{key_of(action_id)}.service"


def not_begun(why: str) -> Verdict:
    """Return the verdict on an action whose unit did not come to calling it."""
    return Verdict("failed", Err(text=f"was not begun: {why}"), reason="not-begun")


def without_result(folder: ActionFolder, state: UnitState | None) -> Verdict:
    """Return the verdict on a unit that is over and has left no result."""
    how = "it is gone" if state is None else f"{state.result}, status {state.status}"
    if folder.is_unread():
        return not_begun(f"its unit ended before ({how})")
    if state is None:
        return Verdict("unknown", Err(text="its unit is gone without a result"), reason="unit-lost")
    if state.result == "timeout":
        return Verdict("timed_out", Err(text="timed out, and was stopped with its unit"))
    why = f"its unit ended without a result ({how})"
    return Verdict("unknown", Err(text=why), reason=f"unit-died: {state.result}")
