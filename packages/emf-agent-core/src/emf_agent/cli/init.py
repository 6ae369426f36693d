"""``emf-agent init``: writes the configuration and the allowlist from what is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed_version
from pathlib import Path

import click
from packaging.version import InvalidVersion, Version

from emf_agent.cli.options import node_options
from emf_agent.discovery import Entry, installed_entries, metadata_path
from emf_agent.errors import UsageError
from emf_agent.identity_files import write_private
from emf_agent.roles import ALL, Role, find_roles
from emf_agent.settings import Paths
from emf_agent.settings.template import configuration_text

__all__ = ["command"]

OPENING = """\
# The static allowlist: which installed plugin may run on this node, and what it may claim.
# Nothing else is imported. Only root may write this file; the manager never can.
schema = 1

# "allowlist": judged from metadata alone, for development and demos. Production wants "enforce":
# run `emf-agent plugin lock`, then change this, then start the agent by its shipped unit.
mode = "{mode}"
"""


@click.command("init")
@node_options
@click.option("--role", "wanted", metavar="R", multiple=True, help="Role of this node; repeatable.")
@click.option(
    "--mode", type=click.Choice(["allowlist", "enforce"]), default="allowlist", show_default=True
)
@click.option("--force", is_flag=True, help="Replace the files that are there.")
def command(
    config: Path | None,
    state_dir: Path | None,
    wanted: tuple[str, ...],
    mode: str,
    *,
    force: bool,
) -> None:
    """Write configuration and allowlist from what is installed."""
    paths = Paths.under(state_dir) if state_dir else Paths.system()
    if config is not None:
        paths = paths.with_config(config)
    entries = installed_entries(metadata_path())
    roles = find_roles(entry.value for entry in entries)
    chosen, missing = choose(wanted or (ALL,), roles, entries)
    there = [path for path in (paths.config, paths.allowlist) if path.exists()]
    if there and not force:
        raise UsageError(f"{' and '.join(map(str, there))} exist already; --force replaces them")
    if state_dir is not None:
        # Not writable by others whatever the umask says, or the allowlist would be refused.
        state_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_private(paths.allowlist, allowlist_text(chosen, mode), mode=0o644)
    write_private(paths.config, configuration_text(), mode=0o644)
    for path in (paths.allowlist, paths.config):
        click.echo(f"wrote {path}")
    click.echo(f"allowed: {', '.join(entry.name for entry in chosen) or 'no plugin'}")
    if missing:
        click.echo(f"not installed, so not allowed: {', '.join(missing)}", err=True)


def choose(
    wanted: Sequence[str], roles: Mapping[str, Role], entries: Sequence[Entry]
) -> tuple[list[Entry], list[str]]:
    """Return the entry points of the roles, and the names that nothing installed offers."""
    unknown = [name for name in wanted if name != ALL and name not in roles]
    if unknown:
        known = "".join(f"\n  {role.name:<10} {role.summary}" for role in roles.values())
        raise UsageError(
            f"no role {', '.join(unknown)} in what is installed; there are"
            f"{known}\n  {ALL:<10} everything installed"
        )
    if ALL in wanted:
        names = [entry.name for entry in entries]
    else:
        names = [name for role in wanted for name in roles[role].plugins]
    unique = dict.fromkeys(names)
    offered = {entry.name: entry for entry in entries}
    twice = sorted({e.name for e in entries if e.name in unique and e != offered[e.name]})
    if twice:
        owners = "; ".join(
            f"{name}: {', '.join(str(e.owner) for e in entries if e.name == name)}"
            for name in twice
        )
        raise UsageError(f"several distributions claim one entry point ({owners}); uninstall one")
    chosen = [offered[name] for name in unique if name in offered]
    return chosen, [name for name in unique if name not in offered]


def allowlist_text(chosen: Sequence[Entry], mode: str) -> str:
    """Return the text of a new allowlist."""
    parts = [OPENING.format(mode=mode)]
    parts += [
        f"""
[[plugin]]
id = "{entry.name}"
distribution = "{entry.owner.distribution}"
version = "{compatible(entry.owner.version)}"
entry_point = ["emf_agent.plugins", "{entry.name}", "{entry.value}"]
actions = ["*"]  # ceiling on the names it may claim
daemons = ["*"]
"""
        for entry in chosen
    ]
    parts.append(f"\n# written with emf-agent-core {installed_version('emf-agent-core')}\n")
    return "".join(parts)


def compatible(version: str) -> str:
    """Return the range from an installed version up to the next that may break."""
    try:
        found = Version(version)
    except InvalidVersion:
        return ""
    ceiling = f"0.{found.minor + 1}" if found.major == 0 else str(found.major + 1)
    return f">={found.public},<{ceiling}"
