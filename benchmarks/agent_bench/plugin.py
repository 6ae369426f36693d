"""A third-party plugin with the cheapest actions there can be: what is measured is the rest."""

from __future__ import annotations

from pathlib import Path

__all__ = ["install"]

WORK = '''
"""Two actions: one does nothing, one starts a program that does nothing."""

from __future__ import annotations

from emf_agent.command import run
from emf_agent.plugin import action, hookimpl


@action
async def bench_nothing() -> bool:
    """Answer."""
    return True


@action
async def bench_spawn() -> int:
    """Run /bin/true."""
    return (await run(["/bin/true"])).returncode


@hookimpl
def emf_actions():
    return [bench_nothing, bench_spawn]
'''


def install(site: Path) -> Path:
    """Write the plugin's files and metadata, as pip would; return the folder for ``PYTHONPATH``."""
    package = site / "emf_plugin_bench"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""The plugin of the benchmark."""\n')
    (package / "work.py").write_text(WORK)
    dist_info = site / "emf_plugin_bench-1.0.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: emf-plugin-bench\nVersion: 1.0\n"
    )
    (dist_info / "entry_points.txt").write_text(
        "[emf_agent.plugins]\nbench = emf_plugin_bench.work\n"
    )
    return site
