"""A third-party plugin that does everything wrong, made into a folder for ``PYTHONPATH``."""

from __future__ import annotations

from pathlib import Path

__all__ = ["install"]

WORK = '''
import time
from pathlib import Path

import anyio
import anyio.to_thread

from emf_agent.plugin import ActionContext, Daemon, Secret, action, hookimpl


@action
async def unlock(password: Secret) -> bool:
    """Take a secret."""
    return password.reveal() == "hunter2-canary"


@action(timeout_s=300)
async def slow(effect: Path, seconds: float, ctx: ActionContext) -> str:
    """Leave a mark, then take a while."""
    with effect.open("a") as file:
        file.write("effect\\n")
    ctx.progress(0.5, "half")
    await anyio.sleep(seconds)
    return "done"


class Blocks(Daemon):
    """Blocks the event loop for three seconds, once."""

    name = "blocks"
    interval_s = 1.0
    blocked = False

    async def update_session(self) -> int:
        if not Blocks.blocked:
            Blocks.blocked = True
            time.sleep(3)
        return 1


class Hogs(Daemon):
    """Ignores cancellation in a thread."""

    name = "hogs"
    interval_s = 1.0

    async def start_session(self) -> int:
        return 0

    async def update_session(self) -> int:
        await anyio.to_thread.run_sync(time.sleep, 3600)
        return 1


class Odd(Daemon):
    """Returns what is not JSON."""

    name = "odd"

    async def update_session(self) -> dict[str, object]:
        return {"what": object()}


class Fine(Daemon):
    """Works."""

    name = "fine"
    interval_s = 1.0
    n = 0

    async def update_session(self) -> int:
        self.n += 1
        return self.n


@hookimpl
def emf_actions():
    return [slow, unlock]


@hookimpl
def emf_daemons():
    return [Blocks, Hogs, Odd, Fine]
'''


def install(site: Path) -> Path:
    """Write the plugin's files and metadata, as pip would; return the folder."""
    package = site / "emf_plugin_trouble"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "work.py").write_text(WORK)
    (package / "broken.py").write_text("raise RuntimeError('broken at import')\n")
    dist_info = site / "emf_plugin_trouble-1.0.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: emf-plugin-trouble\nVersion: 1.0\n"
    )
    (dist_info / "entry_points.txt").write_text(
        "[emf_agent.plugins]\n"
        "trouble = emf_plugin_trouble.work\n"
        "trouble.broken = emf_plugin_trouble.broken\n"
    )
    return site
