"""``emf node``, ``session``, ``ping``, ``whoami``: what is known of the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from emf_manager.client.choices import by_facts
from emf_manager.client.durations import Seconds
from emf_manager.client.output import age, hint, one_line, say_json, table, tidy
from emf_manager.client.program import Group, as_json, excluded, explains, talks, to_run

if TYPE_CHECKING:
    from pydantic import JsonValue

    from emf_manager.client.door import Door

__all__ = ["node", "ping", "session", "whoami"]


@click.group(cls=Group)
def node() -> None:
    """Look at nodes; label, approve, revoke and remove them."""


@node.command("list")
@click.argument("nodes", metavar="[NODESET]", required=False)
@excluded
@click.option("--state", type=click.Choice(["connected", "silent", "never"]))
@as_json
@talks
async def list_nodes(
    door: Door, nodes: str | None, exclude: str | None, state: str | None, *, json_out: bool
) -> None:
    """List the enrolled nodes."""
    params = {"nodes": nodes, "exclude": exclude, "state": state}
    found = [each async for each in door.pages("nodes", params)]
    if json_out:
        say_json(found)
        return
    table(
        ["node", "state", "contact", "alerts", "protocol", "version", "sessions"],
        (
            [
                each["fqdn"],
                each["state"],
                age(each["age_s"]),
                each["alerts"] or None,
                each["protocol"],
                each["agent_version"],
                session_summary(each["sessions"]),
            ]
            for each in found
        ),
    )


@node.command("show")
@click.argument("fqdn", metavar="NODE")
@as_json
@talks
async def show_node(door: Door, fqdn: str, *, json_out: bool) -> None:
    """Show one node: contact, sessions, plugins and their states."""
    found = await door.get(f"nodes/{quote(fqdn, safe='')}")
    if json_out:
        say_json(found)
        return
    for key in ("fqdn", "state", "last_contact", "protocol", "agent_version", "boot_id"):
        click.echo(f"{key + ':':15}{'-' if found[key] is None else one_line(found[key])}")
    click.echo()
    table(["daemon", "session"], sorted(found["sessions"].items()))
    if found.get("plugins"):
        click.echo()
        table(
            ["plugin", "state", "version", "reason"],
            ([p["name"], p["state"], p["version"], p["reason"]] for p in found["plugins"]),
        )


@node.command("approve")
@click.argument("fqdn", metavar="NODE")
@talks
async def approve_node(door: Door, fqdn: str) -> None:
    """Let NODE speak, which enrolled with a token that asks for approval."""
    await door.post(f"nodes/{quote(fqdn, safe='')}/approve", None)
    hint(f"{fqdn} is approved")


@node.command("label")
@click.argument("fqdn", metavar="NODE")
@click.argument("changes", metavar="[NAME=VALUE]... [NAME-]...", nargs=-1)
@as_json
@talks
async def label_node(door: Door, fqdn: str, changes: tuple[str, ...], *, json_out: bool) -> None:
    """Show the labels of NODE; set those given as NAME=VALUE, take away those given as NAME-."""
    from emf_manager.labels import changed

    path = f"nodes/{quote(fqdn, safe='')}/labels"
    found, tag = await door.tagged(path)
    if changes:
        labels: dict[str, JsonValue] = {**changed(found["labels"], changes)}
        found = await door.put(path, {"labels": labels}, match=tag)
    if json_out:
        say_json(found)
        return
    for name, value in found["labels"].items():
        click.echo(f"{name}={value}")


@node.command("revoke")
@click.argument("fqdn", metavar="NODE")
@click.option("--reason", help="Why; stands in the events and the audit trail.")
@talks
async def revoke_node(door: Door, fqdn: str, reason: str | None) -> None:
    """Revoke the certificates of NODE: it is refused at once, and has to enrol again."""
    body: dict[str, JsonValue] = {} if reason is None else {"reason": reason}
    told = await door.post(f"nodes/{quote(fqdn, safe='')}/revoke", body)
    hint(f"{told['fqdn']}: {told['certificates']} certificate(s) revoked")


@node.command("remove")
@click.argument("fqdn", metavar="NODE")
@click.option("--reason", help="Why; stands in the events and the audit trail.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@talks
async def remove_node(door: Door, fqdn: str, reason: str | None, *, yes: bool) -> None:
    """Remove NODE and all that is known of it; its name is free again."""
    if not (yes or explains()):
        click.confirm(f"remove {fqdn}, its sessions and values", abort=True, err=True)
    await door.delete(f"nodes/{quote(fqdn, safe='')}", {"reason": reason})
    hint(f"{fqdn} is removed")


@click.group(cls=Group)
def session() -> None:
    """Look at sessions."""


@session.command("list")
@click.argument("nodes", metavar="[NODESET]", required=False)
@click.option("--daemon", help="Only sessions of this daemon.")
@as_json
@talks
async def list_sessions(
    door: Door, nodes: str | None, daemon: str | None, *, json_out: bool
) -> None:
    """List the sessions of daemons on nodes."""
    found = [each async for each in door.pages("sessions", {"nodes": nodes, "daemon": daemon})]
    if json_out:
        say_json(found)
        return
    table(
        ["node", "daemon", "state", "values", "session"],
        (
            [each["node"], each["daemon"], each["state"], each["sequence"], each["session_id"]]
            for each in found
        ),
    )


@click.command()
@to_run
@excluded
@by_facts
@click.option("--timeout", "timeout_s", type=Seconds(0.1, 60), default=5.0)
@as_json
@click.pass_context
def ping(
    ctx: click.Context,
    nodes: str,
    exclude: str | None,
    facts: tuple[str, ...],
    timeout_s: float,
    *,
    json_out: bool,
) -> None:
    """Ask which nodes of NODESET answer now."""
    answer = ask_ping(nodes, exclude, list(facts), timeout_s)
    results = answer["results"]
    if json_out:
        say_json(answer)
    else:
        report_ping(results)
    if not results:
        ctx.exit(4)
    if not all(each["alive"] for each in results):
        ctx.exit(3)


@talks
async def ask_ping(
    door: Door, nodes: str, exclude: str | None, facts: list[str], timeout_s: float
) -> Any:
    body: dict[str, Any] = {
        "nodes": nodes,
        "exclude": exclude,
        "facts": facts,
        "timeout_s": timeout_s,
    }
    return await door.inquire("ping", body, timeout_s=timeout_s + 30)


def report_ping(results: list[dict[str, Any]]) -> None:
    table(
        ["node", "answer", "time", "last contact"],
        (
            [
                each["node"],
                "alive" if each["alive"] else "no answer",
                "-" if each["seconds"] is None else f"{each['seconds'] * 1000:.1f} ms",
                each["last_contact"],
            ]
            for each in results
        ),
    )
    alive = sum(each["alive"] for each in results)
    hint(f"{len(results)} targeted = {alive} alive + {len(results) - alive} silent")


@click.command()
@as_json
@talks
async def whoami(door: Door, *, json_out: bool) -> None:
    """Show whose token this is, and what it may do."""
    found = await door.get("me")
    if json_out:
        say_json(found)
    else:
        click.echo(tidy(f"{found['user']} ({found['role']}: {', '.join(found['permissions'])})"))


def session_summary(sessions: dict[str, str]) -> str:
    active = sum(state == "active" for state in sessions.values())
    others = [f"{name}:{state}" for name, state in sorted(sessions.items()) if state != "active"]
    return " ".join([f"{active} active", *others])
