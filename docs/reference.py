"""Writes docs/reference/ from the code with `--write`; without it, names the pages that are stale.

Commands come from the programs themselves; actions and daemons from the entry points of the two
bundles, with the schemas that an agent tells its manager.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import click

from emf_agent.cli import program as agent_program
from emf_agent.plugin import ENTRY_POINT_GROUP, Action
from emf_agent.registry import RegisteredDaemon, register_daemon
from emf_manager.cli import program as manager_program
from emf_manager.client.cli import emf as operator_program

FOLDER = Path(__file__).with_name("reference")
PROGRAMS = {
    "emf": (operator_program, "what an operator types"),
    "emf-agent": (agent_program, "on each node"),
    "emf-manager": (manager_program, "on the manager"),
}
BUNDLES = {"host": "emf-plugins-host", "lustre": "emf-plugins-lustre"}
NOTE = "*Made from the code by `hatch run docs:reference --write`; a test holds it. Do not edit.*"


def pages() -> Mapping[str, str]:
    """Return each page of the reference by its file's name."""
    found = {
        f"{name}.md": program_page(name, program, where)
        for name, (program, where) in PROGRAMS.items()
    }
    return found | {f"{bundle}.md": bundle_page(bundle, name) for bundle, name in BUNDLES.items()}


# Programs


def program_page(name: str, program: click.Command, where: str) -> str:
    """Return every command of a program with its arguments and options."""
    parts = [f"# `{name}`: every command", NOTE, f"The program {where}."]
    for path, command, context in commands(name, program, None):
        parts.append(f"## `{' '.join([path, *arguments(command, context)])}`")
        parts.append(plain(command.help or ""))
        rows = [option_row(one, context) for one in command.params if isinstance(one, click.Option)]
        if rows:
            parts.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]))
    return finished(parts)


def commands(
    path: str, command: click.Command, parent: click.Context | None
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield a command and, where it is a group, all below it, by name."""
    context = click.Context(command, parent=parent, info_name=path.rpartition(" ")[2])
    yield path, command, context
    if isinstance(command, click.Group):
        for name in sorted(command.list_commands(context)):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from commands(f"{path} {name}", found, context)


def arguments(command: click.Command, context: click.Context) -> list[str]:
    """Return the arguments as the usage line has them."""
    if isinstance(command, click.Group):
        return ["COMMAND"]
    return [one.make_metavar(context) for one in command.params if isinstance(one, click.Argument)]


def option_row(option: click.Option, context: click.Context) -> str:
    """Return an option as its own help tells it."""
    record = option.get_help_record(context)
    names, meaning = record or (", ".join(option.opts), "")
    return f"| `{names}` | {cell(meaning)} |"


# Bundles


def bundle_page(bundle: str, name: str) -> str:
    """Return every action and daemon of a bundle with its schemas."""
    parts = [
        f"# The {bundle} bundle: every action and daemon",
        NOTE,
        f"What `{name}` offers, by entry point. [The bundle's page](../{bundle}.md) tells more.",
    ]
    points = distribution(name).entry_points.select(group=ENTRY_POINT_GROUP)
    for point in sorted(points, key=lambda one: one.name):
        plugin = import_module(point.value)
        parts.append(f"## `{point.name}`")
        parts.append(plain(plugin.__doc__ or ""))
        for action in sorted(offered(plugin, "emf_actions"), key=lambda one: str(one.name)):
            parts += action_parts(action)
        daemons = [register_daemon(point.name, one) for one in offered(plugin, "emf_daemons")]
        for daemon in sorted(daemons, key=lambda one: one.name):
            parts += daemon_parts(daemon)
    return finished(parts)


def offered(plugin: Any, hook: str) -> list[Any]:
    """Return what a plugin's hook returns under its settings' defaults."""
    function = getattr(plugin, hook, None)
    if function is None:
        return []
    given = {}
    if "settings" in inspect.signature(function).parameters:
        given["settings"] = plugin.emf_settings()()
    return list(function(**given))


def action_parts(action: Action[..., Any]) -> list[str]:
    """Return the section of an action."""
    facts = [
        f"timeout {action.timeout_s:g} s" if action.timeout_s else "timeout as configured",
        "has a dry run" if action.dry_run else "no dry run",
        *(["idempotent"] if action.idempotent else []),
        *(["outlives the agent"] if action.detached else []),
        *(f"holds `{lock}`" for lock in action.locks),
    ]
    return [
        f"### action `{action.name}`",
        plain("\n\n".join(part for part in (action.summary, action.description) if part)),
        f"{'; '.join(facts)}.",
        schema("Arguments", action.args_schema()),
        schema("Result", action.result_schema()),
    ]


def daemon_parts(daemon: RegisteredDaemon) -> list[str]:
    """Return the section of a daemon."""
    delivery = {"latest": "only the latest value counts", "every": "every value is delivered"}
    return [
        f"### daemon `{daemon.name}`",
        plain(daemon.summary),
        f"Every {daemon.interval_s:g} s in {daemon.deadline_s:g} s; {delivery[daemon.delivery]}.",
        schema("Payload", daemon.schema()),
    ]


def schema(title: str, value: Any) -> str:
    """Return a JSON Schema as a block, short ones on one line."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if len(text) > 100:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1)
    return f"{title}:\n\n```json\n{text}\n```"


# Text


def plain(text: str) -> str:
    """Return a docstring or help text as Markdown; what click is told to leave alone is a block."""
    paragraphs = inspect.cleandoc(text).replace("``", "`").split("\n\n")
    return "\n\n".join(
        f"```text\n{one.lstrip().removeprefix(chr(8)).strip(chr(10))}\n```"
        if one.lstrip().startswith("\b")
        else one
        for one in paragraphs
    )


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def finished(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def stale() -> list[str]:
    """Return the pages that are not what the code says, and those of nothing."""
    wanted = pages()
    there = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}
    return sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))


def main() -> int:
    """Write the pages, or say which are stale."""
    if "--write" not in sys.argv[1:]:
        for name in (found := stale()):
            print(f"docs/reference/{name} is stale; run `hatch run docs:reference --write`")
        return 1 if found else 0
    FOLDER.mkdir(exist_ok=True)
    wanted = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
