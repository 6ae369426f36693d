"""``emf-agent daemon``: list the daemons of this node, and see what one would send."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import anyio
import click

from emf_agent import sampling
from emf_agent.cli.loading import load_registry, not_here
from emf_agent.cli.options import node_options
from emf_agent.settings import load_settings

__all__ = ["command"]


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
    folder = settings.paths.state / "plugins" / daemon.plugin
    take = partial(sampling.sample, daemon, show, updates=updates, state_directory=folder)
    anyio.run(take)


def show(one: sampling.Sample) -> None:
    """Print a value as one JSON line."""
    shown = {"phase": one.phase, "value": one.value, "seconds": one.seconds}
    click.echo(json.dumps(shown, ensure_ascii=False))
