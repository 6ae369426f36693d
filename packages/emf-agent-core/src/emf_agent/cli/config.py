"""``emf-agent config``: check the configuration and show what counts. Imports no plugin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from emf_agent.cli.options import json_option, node_options
from emf_agent.discovery import read_allowlist, stray_tables
from emf_agent.errors import ConfigurationError
from emf_agent.settings import Settings, load_settings

__all__ = ["command"]


@click.group("config")
def command() -> None:
    """Check and show the configuration."""


@command.command("check")
@node_options
def check(config: Path | None, state_dir: Path | None) -> None:
    """Report every fault of configuration and allowlist (exit 78), or say that there is none."""
    faults: list[str] = []
    settings: Settings | None = None
    try:
        settings = load_settings(config, state_dir)
    except ConfigurationError as error:
        faults.extend(error.faults)
    paths = settings.paths if settings else load_places(config, state_dir)
    try:
        allowlist = read_allowlist(paths.allowlist)
    except ConfigurationError as error:
        faults.extend(error.faults)
    else:
        faults.extend(stray_tables(settings, allowlist) if settings else ())
    if faults:
        raise ConfigurationError(faults)
    click.echo(f"{paths.config} and {paths.allowlist} are valid")
    if settings and settings.plugin:
        tables = ", ".join(f'[plugin."{name}"]' for name in sorted(settings.plugin))
        click.echo(f"{tables}: the plugins' own keys, which `emf-agent plugin list` checks")


def load_places(config: Path | None, state_dir: Path | None) -> Any:
    """Return where the files are when the configuration itself cannot be loaded."""
    from emf_agent.settings import Paths

    paths = Paths.under(state_dir) if state_dir else Paths.system()
    return paths.with_config(config) if config else paths


@command.command("show")
@node_options
@json_option
@click.option("--origin", "with_origin", is_flag=True, help="Say who set each value.")
def show(config: Path | None, state_dir: Path | None, *, as_json: bool, with_origin: bool) -> None:
    """Show every setting that counts."""
    settings = load_settings(config, state_dir)
    values = dict(leaves(settings.model_dump(mode="json"), ()))
    if as_json:
        shown: dict[str, Any] = (
            {key: {"value": value, "origin": settings.origin(key)} for key, value in values.items()}
            if with_origin
            else values
        )
        click.echo(json.dumps(shown, indent=2))
        return
    for key, value in values.items():
        origin = f"  # {settings.origin(key)}" if with_origin else ""
        click.echo(f"{key} = {json.dumps(value)}{origin}")


def leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Return every value with its dotted key; tables are opened, lists are not."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield ".".join(path), value
