"""Actions that hand words to a cluster program as they are: crm_attribute, pcs, crm."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from emf_agent.command import CommandNotFoundError, run
from emf_agent.errors import ActionError
from emf_agent.plugin import ActionContext, action

__all__ = ["crm", "crm_attribute", "pcs"]

TIMEOUT_S = 120
LONG_TIMEOUT_S = 600
OUTPUT_BYTES = 512 * 1024
Words = Annotated[list[str], Field(max_length=256)]
OTHER_SHELL = {"pcs": "crm", "crm": "pcs"}


@action(timeout_s=TIMEOUT_S, dry_run=True, locks=("cib",))
async def crm_attribute(words: Words, context: ActionContext) -> str:
    """Run crm_attribute with these words and return what it prints."""
    return await hand_over("crm_attribute", words, context)


@action(timeout_s=LONG_TIMEOUT_S, dry_run=True, detached=True, locks=("cib",))
async def pcs(words: Words, context: ActionContext) -> str:
    """Run pcs with these words and return what it prints."""
    return await hand_over("pcs", words, context)


@action(timeout_s=LONG_TIMEOUT_S, dry_run=True, detached=True, locks=("cib",))
async def crm(words: Words, context: ActionContext) -> str:
    """Run crm (crmsh) with these words and return what it prints."""
    return await hand_over("crm", words, context)


async def hand_over(program: str, words: list[str], context: ActionContext) -> str:
    """Run it, or say what would be run."""
    if context.dry_run:
        return f"would run {' '.join([program, *words])}"
    try:
        completed = await run([program, *words], output_limit_bytes=OUTPUT_BYTES)
    except CommandNotFoundError as error:
        other = OTHER_SHELL.get(program)
        if other is None:
            raise
        raise ActionError(f"{error}; a cluster managed by {other} has no {program}") from error
    return completed.stdout.text
