"""Cluster resources and constraints: as JSON for the manager, as XML for pacemaker. No I/O here.

XML: Pacemaker Explained, chapters "Cluster Resources" and "Resource Constraints".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from emf_plugins_host.cluster.xml_text import Element, XmlError, attribute, element, parse_xml

__all__ = [
    "Agent",
    "ColocationConstraint",
    "Constraint",
    "LocationConstraint",
    "NodeName",
    "Operations",
    "Order",
    "OrderConstraint",
    "ResourceId",
    "ResourceInfo",
    "Ticket",
    "TicketConstraint",
    "configuration",
    "parse_resource",
]

ResourceId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=255)
]
"""An XML id (NCName) in ASCII, so that it can stand in an XPath as it is."""
NodeName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=255)
]
Action = Literal["start", "promote", "demote", "stop"]
LossPolicy = Literal["stop", "demote", "fence", "freeze"]


class Shape(BaseModel):
    """A record on the wire; keys that we do not know are ignored, as the ancestor did."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Agent(Shape):
    """What runs the resource: ``ocf``, ``lustre``, ``Lustre``."""

    standard: str
    provider: str | None = None
    ocftype: str


class Operations(Shape):
    """Time-outs of start and stop, interval of monitor, as pacemaker writes times (``300s``)."""

    start: str | None = None
    monitor: str | None = None
    stop: str | None = None


class ResourceInfo(Shape):
    """One resource."""

    agent: Agent
    id: ResourceId
    args: dict[str, str]
    ops: Operations


class ScoreValue(Shape):
    """A score that is a number."""

    VALUE: Annotated[int, Field(ge=-(2**31), lt=2**31)]


Score = Literal["INFINITY", "NEG_INFINITY"] | ScoreValue


class OrderKind(Shape):
    """An order's kind by name."""

    KIND: Literal["MANDATORY", "OPTIONAL", "SERIALIZE"]


class OrderScore(Shape):
    """An order's kind by score."""

    SCORE: Score


class Order(Shape):
    """First one resource, then another."""

    id: ResourceId
    first: ResourceId
    first_action: Action | None = None
    then: ResourceId
    then_action: Action | None = None
    kind: OrderKind | OrderScore | None = None


class Location(Shape):
    """How much a resource likes a node."""

    id: ResourceId
    rsc: ResourceId
    node: NodeName
    score: Score


class Colocation(Shape):
    """How much a resource likes to be where another is."""

    id: ResourceId
    rsc: ResourceId
    with_rsc: ResourceId
    score: Score


class Ticket(Shape):
    """A resource that runs only where a ticket is."""

    id: ResourceId
    rsc: ResourceId
    ticket: ResourceId
    loss_policy: LossPolicy | None = None


class OrderConstraint(Shape):
    """A constraint on the order."""

    ORDER: Order


class LocationConstraint(Shape):
    """A constraint on the place."""

    LOCATION: Location


class ColocationConstraint(Shape):
    """A constraint on the company."""

    COLOCATION: Colocation


class TicketConstraint(Shape):
    """A constraint on a ticket."""

    TICKET: Ticket


Constraint = OrderConstraint | LocationConstraint | ColocationConstraint | TicketConstraint


def configuration(
    resource: ResourceInfo,
    constraints: list[Constraint],
    *,
    cloned: bool = False,
    stopped: bool = False,
) -> Element:
    """Return the part of the configuration that makes a resource with its constraints.

    Given to pacemaker as one change: all of it comes to be, or nothing does.
    """
    made = primitive(resource, stopped=stopped)
    alias = None
    if cloned:
        alias = f"cl-{resource.id}"
        made = element("clone", {"id": alias}, [made])
    parts = [element("resources", {}, [made])]
    if constraints:
        rows = [constraint_element(one, resource.id, alias) for one in constraints]
        parts.append(element("constraints", {}, rows))
    return element("configuration", {}, parts)


def primitive(resource: ResourceInfo, *, stopped: bool) -> Element:
    """Return a resource; ``stopped``: it is not to be started before somebody says so."""
    own = resource.id
    parts = []
    if resource.args:
        parts.append(settings(f"{own}-instance_attributes", "instance_attributes", resource.args))
    operations = list(operation_elements(own, resource.ops))
    if operations:
        parts.append(element("operations", {}, operations))
    if stopped:
        role = {"target-role": "Stopped"}
        parts.append(settings(f"{own}-meta_attributes", "meta_attributes", role))
    return element(
        "primitive",
        {
            "id": own,
            "class": resource.agent.standard,
            "provider": resource.agent.provider,
            "type": resource.agent.ocftype,
        },
        parts,
    )


def settings(own: str, tag: str, values: Mapping[str, str]) -> Element:
    """Return a set of names and values."""
    pairs = [
        element("nvpair", {"id": f"{own}-{name}", "name": name, "value": value})
        for name, value in values.items()
    ]
    return element(tag, {"id": own}, pairs)


def operation_elements(own: str, ops: Operations) -> Iterator[Element]:
    """Yield the operations that are given."""
    for name, timeout in (("start", ops.start), ("stop", ops.stop)):
        if timeout is not None:
            yield element(
                "op",
                {
                    "id": f"{own}-{name}-timeout-{timeout}",
                    "interval": "0",
                    "name": name,
                    "timeout": timeout,
                },
            )
    if ops.monitor is not None:
        yield element(
            "op",
            {
                "id": f"{own}-monitor-interval-{ops.monitor}",
                "interval": ops.monitor,
                "name": "monitor",
            },
        )


def constraint_element(constraint: Constraint, own: str, alias: str | None) -> Element:
    """Return a constraint; where the resource is cloned, a reference to it means the clone."""

    def meant(reference: str) -> str:
        return alias if alias is not None and reference == own else reference

    match constraint:
        case OrderConstraint(ORDER=order):
            kind = order.kind.KIND.capitalize() if isinstance(order.kind, OrderKind) else None
            score = score_text(order.kind.SCORE) if isinstance(order.kind, OrderScore) else None
            return element(
                "rsc_order",
                {
                    "id": order.id,
                    "first": meant(order.first),
                    "first-action": order.first_action,
                    "then": meant(order.then),
                    "then-action": order.then_action,
                    "kind": kind,
                    "score": score,
                },
            )
        case LocationConstraint(LOCATION=location):
            return element(
                "rsc_location",
                {
                    "id": location.id,
                    "rsc": meant(location.rsc),
                    "node": location.node,
                    "score": score_text(location.score),
                },
            )
        case ColocationConstraint(COLOCATION=colocation):
            return element(
                "rsc_colocation",
                {
                    "id": colocation.id,
                    "rsc": meant(colocation.rsc),
                    "with-rsc": meant(colocation.with_rsc),
                    "score": score_text(colocation.score),
                },
            )
        case TicketConstraint(TICKET=ticket):
            return element(
                "rsc_ticket",
                {
                    "id": ticket.id,
                    "rsc": meant(ticket.rsc),
                    "ticket": ticket.ticket,
                    "loss-policy": ticket.loss_policy,
                },
            )


def score_text(score: Score) -> str:
    """Return a score as pacemaker writes it."""
    if isinstance(score, ScoreValue):
        return str(score.VALUE)
    return {"INFINITY": "INFINITY", "NEG_INFINITY": "-INFINITY"}[score]


def parse_resource(output: str) -> ResourceInfo:
    """Return the resource in the output of ``crm_resource --query-xml``: words, then XML.

    Raises:
        XmlError: there is no XML, or no id in it.

    """
    _, marker, text = output.rpartition("xml:")
    if not marker:
        # pacemaker 2.1 writes "Resource XML:" instead
        _, marker, text = output.rpartition("XML:")
    if not marker:
        raise XmlError(f"crm_resource: no XML in {' '.join(output.split())[:200]!r}")
    root = parse_xml(text.strip(), "crm_resource")
    operations = {op.get("name"): op for op in root.findall("operations/op")}

    def setting(name: str, key: str) -> str | None:
        return operations[name].get(key) if name in operations else None

    return ResourceInfo.model_construct(
        agent=Agent(
            standard=root.get("class", ""),
            provider=root.get("provider"),
            ocftype=root.get("type", ""),
        ),
        id=attribute(root, "id"),
        args={
            pair.get("name", ""): pair.get("value", "")
            for pair in root.findall("instance_attributes/nvpair")
        },
        ops=Operations(
            start=setting("start", "timeout"),
            monitor=setting("monitor", "interval"),
            stop=setting("stop", "timeout"),
        ),
    )
