"""``emf-agent daemon``: list the daemons of this node, and see what one would send."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import click

from emf_agent.cli.loading import load_registry, not_here
from emf_agent.cli.options import node_options
from emf_agent.errors import EmfError
from emf_agent.plugin import DaemonContext
from emf_agent.registry import RegisteredDaemon
from emf_agent.settings import load_settings

__all__ = ["command"]


class SampleError(EmfError):
    """The daemon gave no value."""


@click.group("daemon")
def command() -> None:
    """List and sample daemons on this node."""


@command.command("list")
@node_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_daemons(config: Path | None, state_dir: Path | None, *, as_json: bool) -> None:
    """List every daemon, with its pace."""
    _, daemons = load_registry(load_settings(config, state_dir)).catalogue()
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in daemons], indent=2))
        return
    width = max((len(one.name) for one in daemons), default=0)
    for one in daemons:
        pace = f"every {one.interval_s:g} s"
        click.echo(f"{one.name:<{width}}  {pace:<12}  {one.summary}")


@command.command("sample")
@node_options
@click.argument("name")
@click.option("--updates", type=click.IntRange(min=0), default=0, help="Updates after the start.")
def sample(config: Path | None, state_dir: Path | None, name: str, updates: int) -> None:
    """Start a daemon here and print what it would send, one JSON line a phase."""
    settings = load_settings(config, state_dir)
    registry = load_registry(settings)
    if name not in registry.daemons:
        raise not_here("daemon", name, registry.daemons)
    daemon = registry.daemons[name]
    anyio.run(show, daemon, updates, settings.paths.state / "plugins" / daemon.plugin)


async def show(daemon: RegisteredDaemon, updates: int, state_directory: Path) -> None:
    """Live a short session, at the daemon's own pace and under its deadlines."""
    instance = daemon.factory()
    instance.context = DaemonContext(state_directory=state_directory)
    try:
        for number in range(updates + 1):
            if number:
                await anyio.sleep(daemon.interval_s)
            phase = "update" if number else "start"
            deadline_s = daemon.deadline_s if number else daemon.start_deadline_s
            began = anyio.current_time()
            try:
                with anyio.fail_after(deadline_s):
                    payload = await (
                        instance.update_session() if number else instance.start_session()
                    )
            except TimeoutError as error:
                raise SampleError(
                    f"{daemon.name}: {phase} took longer than {deadline_s:g} s"
                ) from error
            except EmfError as error:
                raise SampleError(f"{daemon.name}: {error}") from error
            seconds = round(anyio.current_time() - began, 6)
            value = daemon.payload.dump_python(payload, mode="json", warnings="error")
            shown = {"phase": phase, "value": value, "seconds": seconds}
            click.echo(json.dumps(shown, ensure_ascii=False))
    finally:
        with anyio.move_on_after(1, shield=True):
            await instance.stop_session()
