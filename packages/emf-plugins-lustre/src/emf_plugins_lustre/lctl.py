"""The door to ``lctl``: runs it and reads what every room asks of it."""

from __future__ import annotations

from emf_agent.command import CommandFailedError, Completed, run
from emf_agent.plugin import ActionContext

__all__ = ["change_with_lctl", "lctl", "local_mdt0_targets", "says_nothing_matches"]

OUTPUT_LIMIT_BYTES = 8 * 1024 * 1024
NO_ENTRY = 2


async def lctl(*arguments: str, timeout_s: float | None = None) -> Completed:
    """Run ``lctl`` to its end.

    Raises CommandFailedError where it failed, and what :func:`emf_agent.command.run` raises.
    """
    return await run(
        ["lctl", *arguments], timeout_s=timeout_s, output_limit_bytes=OUTPUT_LIMIT_BYTES
    )


async def change_with_lctl(*words: str, context: ActionContext) -> str | None:
    """Run a command that changes something; in a dry run, return what it would be."""
    if context.dry_run:
        return f"would run: lctl {' '.join(words)}"
    await lctl(*words)
    return None


def says_nothing_matches(error: CommandFailedError) -> bool:
    """Tell whether ``lctl`` failed only because there is no such parameter or name."""
    return error.completed.returncode == NO_ENTRY


async def local_mdt0_targets() -> tuple[str, ...]:
    """Return the first MDTs that are served here (``fs1-MDT0000``), sorted.

    None served is an empty answer; that ``lctl`` cannot tell is raised, unlike in the ancestor.
    """
    try:
        listed = await lctl("get_param", "-N", "mdt.*-MDT0000")
    except CommandFailedError as error:
        if says_nothing_matches(error) and not error.completed.stdout.size_bytes:
            return ()
        raise
    parts = (line.strip().split(".") for line in listed.stdout.lines())
    return tuple(sorted({part[1] for part in parts if len(part) == 2 and part[0] == "mdt"}))
