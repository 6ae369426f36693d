"""Long actions that outlive the agent: each in a transient unit of systemd.

This is the public face of the room. :class:`DetachedActions` begins, follows and stops them for
the agent; :func:`perform` is what runs inside the unit; :class:`ActionFolder` is all that passes
between the two. ``choose_units`` tells whether this node can do so (reliability, REL17).
"""

from emf_agent.detached.files import ActionFolder, Order
from emf_agent.detached.following import DetachedActions
from emf_agent.detached.performing import perform
from emf_agent.detached.program import own_environment, own_program
from emf_agent.detached.units import SystemdUnits, Units, UnitState, choose_units

__all__ = [
    "ActionFolder",
    "DetachedActions",
    "Order",
    "SystemdUnits",
    "UnitState",
    "Units",
    "choose_units",
    "own_environment",
    "own_program",
    "perform",
]
