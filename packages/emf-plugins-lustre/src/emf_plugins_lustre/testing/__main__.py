"""Make a simulated node for a demo: ``python -m emf_plugins_lustre.testing --role oss FOLDER``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from emf_plugins_lustre.testing.node import SimulatedNode
from emf_plugins_lustre.testing.scenario import ROLES, Scenario

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Make the node and print the variables that an agent needs to find it."""
    parser = argparse.ArgumentParser(
        prog="python -m emf_plugins_lustre.testing", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="a folder that is not there yet")
    parser.add_argument("--role", choices=ROLES, default="combined", help="what the node has")
    parser.add_argument("--scenario", type=Path, help="a scenario of your own, instead of a role")
    parser.add_argument("--cluster", type=Path, help="a node made before, whose cluster it joins")
    options = parser.parse_args(arguments)
    try:
        scenario = (
            Scenario.of_file(options.scenario)
            if options.scenario
            else Scenario.of_role(options.role)
        )
        cluster = SimulatedNode(options.cluster) if options.cluster else None
        node = SimulatedNode.create(options.folder, scenario, cluster=cluster)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{options.folder}: {error}\n")
        return 1
    for name, value in node.environment().items():
        sys.stdout.write(f"{name}={value}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
