"""``emf-agent plugin``: what runs here, what does not, and why."""

from __future__ import annotations

import json
from pathlib import Path

import click

from emf_agent.cli import plugin_lock
from emf_agent.cli.options import json_option, node_options
from emf_agent.discovery import (
    discover,
    explain,
    look_around,
    read_allowlist,
    running_mode,
    survey,
)
from emf_agent.errors import UsageError
from emf_agent.host_facts import node_facts, resolve_fqdn
from emf_agent.identity_files import write_private
from emf_agent.settings import load_settings
from emf_agent.wire import PluginReport

__all__ = ["command"]


@click.group("plugin")
def command() -> None:
    """List plugins and say why each runs or does not."""


command.add_command(plugin_lock.lock)
command.add_command(plugin_lock.diff)
command.add_command(plugin_lock.verify)
command.add_command(plugin_lock.sign_lock)
command.add_command(plugin_lock.boot)
command.add_command(plugin_lock.check)


@command.command("list")
@node_options
@json_option
@click.option(
    "--no-load",
    is_flag=True,
    help="Judge from metadata alone and import nothing, for recovery; names are not known then.",
)
def list_plugins(
    config: Path | None, state_dir: Path | None, *, as_json: bool, no_load: bool
) -> None:
    """List every plugin that is allowed or installed, with its state and the reason.

    What is refused is never imported.
    """
    settings = load_settings(config, state_dir)
    allowlist = read_allowlist(settings.paths.allowlist)
    closed = running_mode() != "allowlist"
    if allowlist.enforced != closed and not no_load:
        click.echo(
            f"judged from metadata alone: mode is {allowlist.mode!r}, and this process was"
            f" {'' if closed else 'not '}started through the boot archive",
            err=True,
        )
        no_load = True
    if no_load:
        reports = survey(allowlist)
    else:
        node = node_facts(settings.node.fqdn or resolve_fqdn())
        reports = discover(settings, allowlist, node).plugins
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in reports], indent=2))
        return
    rows = [("NAME", "DISTRIBUTION", "VERSION", "STATE")]
    rows += [(one.name, one.distribution or "-", one.version or "-", one.state) for one in reports]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row, report in zip(rows, [None, *reports], strict=True):
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo(f"{line}  {'REASON' if report is None else told(report)}".rstrip())


def told(report: PluginReport) -> str:
    """Return the reason, or what the plugin provides."""
    if report.reason:
        return report.reason
    names = [f"action {name}" for name in report.actions]
    return ", ".join(names + [f"daemon {name}" for name in report.daemons])


@command.command("explain")
@node_options
@click.argument("name")
def explain_plugin(config: Path | None, state_dir: Path | None, name: str) -> None:
    """Say why NAME runs or does not: each rule with its outcome. Imports nothing."""
    allowlist = read_allowlist(load_settings(config, state_dir).paths.allowlist)
    rule = allowlist.rule(name)
    if rule is None:
        reports = [one for one in survey(allowlist) if one.name == name]
        if not reports:
            raise UsageError(
                f"no plugin {name!r} is installed or allowed; `emf-agent plugin list` shows all"
            )
        for report in reports:
            click.echo(f"no   listed: {report.distribution} {report.version}: {report.reason}")
        click.echo(f"{name} is refused")
        return
    click.echo(f"yes  listed: id {rule.id}, distribution {rule.distribution}")
    found = explain(rule, look_around())
    for check in found:
        click.echo(f"{'no ' if check.fault else 'yes'}  {check.what}" + fault(check.fault))
    if found[-1].fault:
        click.echo(f"{name} is {found[-1].state}")
    else:
        click.echo(f"{name} may be imported; `emf-agent plugin list` does so and tells the rest")


def fault(text: str | None) -> str:
    """Return a fault as the end of a line."""
    return f": {text}" if text else ""


@command.command("disable")
@node_options
@click.argument("name")
def disable(config: Path | None, state_dir: Path | None, name: str) -> None:
    """Switch the plugin NAME off in the allowlist; takes effect when the agent starts again."""
    import tomlkit

    path = load_settings(config, state_dir).paths.allowlist
    allowlist = read_allowlist(path)
    rule = allowlist.rule(name)
    if rule is None:
        raise UsageError(f"{path} has no plugin {name!r}; `emf-agent plugin list` shows all")
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    for table in document["plugin"]:
        if table["id"] == rule.id:
            table["enabled"] = False
            table.pop("required", None)
    write_private(path, tomlkit.dumps(document), mode=0o644)
    click.echo(f"{path}: {rule.id} is switched off; restart the agent to stop it")
