"""``emf config``: keep in the user's file which manager to talk to, and how."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from emf_agent.errors import ConfigurationError
from emf_manager.client.connection import KEYS, read_file, url_faults
from emf_manager.client.output import hint, say_json, table
from emf_manager.client.program import Group, Setup, as_json, explains

__all__ = ["config"]


@click.group(cls=Group)
def config() -> None:
    """Keep the manager's address and your token in your own file."""
    if explains():
        hint("emf config asks no manager: it reads and writes your own file")
        click.get_current_context().exit()


@config.command("set")
@click.argument("key", metavar="KEY", type=click.Choice(KEYS))
@click.argument("value")
@click.pass_obj
def set_key(setup: Setup, key: str, value: str) -> None:
    """Set KEY to VALUE; the value - is read from standard input (for tokens)."""
    told = sys.stdin.readline().strip() if value == "-" else value
    faults = [] if told else [f"the value of {key} is empty"]
    if key == "manager":
        faults += url_faults(told)
    if key in {"ca", "token_file"}:
        told = str(Path(told).expanduser().resolve())
        if not Path(told).is_file():
            faults.append(f"{told} is not there")
    if faults:
        raise ConfigurationError(faults)
    write(setup.file, {**read_file(setup.file), key: told})
    hint(f"{key} is set in {setup.file}")


@config.command("unset")
@click.argument("key", metavar="KEY", type=click.Choice(KEYS))
@click.pass_obj
def unset_key(setup: Setup, key: str) -> None:
    """Forget KEY."""
    write(setup.file, {name: kept for name, kept in read_file(setup.file).items() if name != key})


@config.command("show")
@as_json
@click.pass_obj
def show(setup: Setup, *, json_out: bool) -> None:
    """Show what the file sets; the token itself is not shown."""
    values = {
        key: "(set)" if key == "token" else value for key, value in read_file(setup.file).items()
    }
    if json_out:
        say_json({"file": str(setup.file), **values})
    else:
        table(["key", "value"], sorted(values.items()))


def write(path: Path, values: dict[str, str]) -> None:
    """Replace the file at once, readable by its owner alone."""
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in sorted(values.items()))
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        raise ConfigurationError([f"{path} cannot be written: {error}"]) from error
