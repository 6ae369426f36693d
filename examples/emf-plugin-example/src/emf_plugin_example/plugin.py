"""The entry point: an action, a daemon, a setting, and the hooks that register them."""

from functools import partial
from pathlib import Path

import anyio
from pydantic import BaseModel, Field

from emf_agent.plugin import ActionContext, Daemon, action, hookimpl


class Settings(BaseModel):
    """The table ``[plugin.example]`` of the agent's configuration."""

    proc: Path = Field(Path("/proc"), description="Where the proc file system is mounted.")


class Uptime(BaseModel):
    """What the daemon sends."""

    seconds: int


@action(timeout_s=10, idempotent=True)
async def count_lines(path: Path, ctx: ActionContext) -> int:
    """Return how many lines a file has."""
    lines = 0
    async with await anyio.open_file(path, "rb") as file:
        async for _ in file:
            lines += 1
    ctx.log(f"read {path}")
    return lines


class UptimeDaemon(Daemon):
    """Seconds since the boot, once a minute."""

    name = "uptime"
    interval_s = 60.0

    def __init__(self, settings: Settings) -> None:
        self._proc = settings.proc

    async def update_session(self) -> Uptime:
        """Read it (proc(5): uptime)."""
        text = await anyio.Path(self._proc / "uptime").read_text()
        return Uptime(seconds=int(float(text.split()[0])))


@hookimpl
def emf_settings() -> type[Settings]:
    """Offer the settings."""
    return Settings


@hookimpl
def emf_actions() -> list[object]:
    """Offer the action."""
    return [count_lines]


@hookimpl
def emf_daemons(settings: Settings) -> list[object]:
    """Offer the daemon, made with the plugin's settings."""
    return [partial(UptimeDaemon, settings)]
