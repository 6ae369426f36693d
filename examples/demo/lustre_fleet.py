"""A whole simulated file system for the demo: MGS, MDS, OSS and clients, in one process.

Each node is a real agent with the plugins of its role, a certificate of its own and a simulated
node of the Lustre bundle; all nodes are in one cluster. The demo starts this program.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
from lustre_node import FILE_SYSTEM, LustreNode

from emf_agent.cli.init import allowlist_text, choose
from emf_agent.cli.loading import load_registry
from emf_agent.command import Surroundings
from emf_agent.discovery import installed_entries
from emf_agent.errors import EmfError
from emf_agent.identity_files import write_private
from emf_agent.roles import find_roles
from emf_agent.settings import load_settings
from emf_agent.testing.fleet import Fleet, NodePlan
from emf_agent.wire import EnrolmentToken
from emf_plugins_lustre.testing.node import SimulatedNode
from emf_plugins_lustre.testing.scenario import Scenario

__all__ = ["Member", "deal"]

DOMAIN = "example.com"
FIRST_ROLES = ("mgs", "mds", "oss", "client", "oss", "mds", "oss", "client")
FURTHER_ROLES = ("oss", "oss", "client")
ABOUT_THE_HOST = ("host.facts", "host.packages")
"""Of the host bundle each node has these; the rest would show this machine once for each node."""


@dataclass(frozen=True)
class Member:
    """A node of the file system: the ``number``-th of its role, counted from 0."""

    role: str
    number: int

    @property
    def name(self) -> str:
        """Return its full name."""
        return f"{self.role}{self.number + 1:02}.{DOMAIN}"

    def scenario(self) -> Scenario:
        """Return what it has: the role's targets, under indices that no other node has."""
        shipped = Scenario.of_role(self.role)
        count = len(shipped.targets)
        targets = {
            f"{FILE_SYSTEM}-{target.kind}{self.number * count + index:04x}": target
            for index, target in enumerate(shipped.targets.values())
        }
        octet = {"mgs": 0, "mds": 1, "oss": 2, "client": 3}[self.role]
        nids = (f"10.0.{octet}.{self.number + 1}@tcp",)
        return shipped.model_copy(update={"targets": targets, "nids": nids})


def deal(nodes: int) -> list[Member]:
    """Return so many nodes: one MGS, then metadata servers, object storage servers and clients."""
    roles = [*FIRST_ROLES[:nodes]]
    while len(roles) < nodes:
        roles.append(FURTHER_ROLES[(len(roles) - len(FIRST_ROLES)) % len(FURTHER_ROLES)])
    return [Member(role, roles[:place].count(role)) for place, role in enumerate(roles)]


def plan(member: Member, folder: Path, mgs: SimulatedNode) -> NodePlan:
    """Set a node up as its admin would: allowlist by role, and where plugins keep their files."""
    home = folder / member.name
    lustre = LustreNode(home / "lustre", member.role, member.scenario(), mgs)
    entries = installed_entries()
    chosen, _ = choose((member.role,), find_roles(one.value for one in entries), entries)
    taken = [one for one in chosen if not one.name.startswith("host.")]
    taken += [one for one in entries if one.name in ABOUT_THE_HOST]
    settings = load_settings(None, home)
    write_private(settings.paths.allowlist, allowlist_text(taken, "allowlist"), mode=0o644)
    drop_in = settings.paths.drop_ins / "20-lustre.toml"
    write_private(drop_in, lustre.configuration(), mode=0o644)
    return NodePlan(
        member.name,
        home,
        load_registry(load_settings(None, home), member.name),
        Surroundings(search_path=lustre.search_path),
    )


async def serve(
    manager: str, folder: Path, members: list[Member], secrets: Mapping[str, str]
) -> None:
    """Run the file system until a signal."""
    shipped = Scenario.of_role("mgs")
    osts = [name for one in members if one.role == "oss" for name in one.scenario().targets]
    scenario = shipped.model_copy(update={"osts": {FILE_SYSTEM: tuple(osts)}})
    mgs = SimulatedNode.create(folder / "mgs", scenario)
    fleet = Fleet([plan(one, folder, mgs) for one in members], manager)
    for role, token in secrets.items():
        await fleet.enrol(EnrolmentToken.parse(token), f"{role}*")
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with fleet.running():
            async for _ in signals:
                break


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--manager", required=True, metavar="URL")
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--nodes", required=True, type=int)
    parser.add_argument(
        "--tokens", required=True, type=Path, help="JSON: an enrolment token a role"
    )
    wanted = parser.parse_args()
    logging.basicConfig(level="WARNING", stream=sys.stderr)
    secrets = json.loads(wanted.tokens.read_text())
    try:
        anyio.run(serve, wanted.manager, wanted.folder, deal(wanted.nodes), secrets)
    except EmfError as error:
        print(f"lustre_fleet: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
