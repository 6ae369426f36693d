"""A simulated fleet: many real agents in one process, over real TLS, against a real manager.

Each node is the agent as it is (rules, journal, transport, TLS with a certificate of its own), with
a folder and a name; what is simulated is that it is alone on a machine, and what it measures. From
a shell, 200 nodes of one role that a manager takes for real::

    emf-manager token create --node 'oss*' --role oss --uses 200 > token
    python -m emf_agent.testing.fleet --manager URL --token-file token --role oss --nodes 200

In a test of a plugin, with a registry of one's own (``light_registry`` stands in for one)::

    fleet = Fleet([NodePlan("oss01.example.com", folder / "oss01", registry)], manager_url=url)
    await fleet.enrol(token)
    async with fleet.running():
        fleet.node("oss01.example.com").kill(down_s=1)

Not for pytest's virtual time: sockets and threads take part.
"""

from emf_agent.testing.fleet.fleet import Fleet
from emf_agent.testing.fleet.light import light_registry
from emf_agent.testing.fleet.network import Network
from emf_agent.testing.fleet.node import FleetNode, NodePlan
from emf_agent.testing.fleet.orders import BadOrderError, obey

__all__ = [
    "BadOrderError",
    "Fleet",
    "FleetNode",
    "Network",
    "NodePlan",
    "light_registry",
    "obey",
]
