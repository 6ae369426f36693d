"""Route of targets: what a job would go to, in which batch, and why each other node is left out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from emf_manager.api import rollout_models as m
from emf_manager.api.fleet import missing
from emf_manager.api.service import Manager, Service
from emf_manager.api.targets import LeftOut, pick
from emf_manager.nodesets import natural_order
from emf_manager.views import JobOrder

__all__ = ["router"]

router = APIRouter(tags=["jobs"])


@router.post("/targets", response_model=m.Targets)
async def match_targets(manager: Manager, body: m.TargetsRequest) -> Any:
    """Show what a job with these options would go to; nothing is run."""
    selection = await pick(manager, body.nodes, body.exclude, body.facts)
    lacking = await without_action(manager, body.action)
    why = f"has no action {body.action}: a job is refused until it is excluded"
    nodes = tuple(node for node in selection.nodes if node not in lacking)
    left_out = [*selection.left_out]
    left_out += [LeftOut(node, why) for node in selection.nodes if node in lacking]
    order = JobOrder(body.action or "", nodes, "", rollout=body.rollout())
    batches = await manager.engine.plan_job(order) if nodes else ()
    batch_of = {node: number for number, batch in enumerate(batches, 1) for node in batch}
    beyond = f"beyond the limit of {body.limit}"
    left_out += [LeftOut(node, beyond) for node in nodes if node not in batch_of]
    states = {view.fqdn: view.state for view in await manager.engine.nodes()}
    facts = await manager.engine.facts() if body.show_facts else None
    out = {one.node: one.reason for one in left_out}
    return m.Targets(
        matched=tuple(
            m.Matched(
                node=node,
                state=states.get(node, "silent"),
                batch=batch_of[node],
                facts=None if facts is None else dict(sorted(facts.get(node, {}).items())),
            )
            for node in nodes
            if node in batch_of
        ),
        left_out=tuple(m.LeftOut(node=node, reason=out[node]) for node in natural_order(out)),
        batches=len(batches),
    )


async def without_action(manager: Service, name: str | None) -> frozenset[str]:
    """Return the nodes that told what they have, and do not have this.

    Raises:
        ProblemError: no node has it.

    """
    if name is None:
        return frozenset()
    catalogue = await manager.engine.catalogue()
    found = next((entry for entry in catalogue if entry.name == name), None)
    if found is None:
        raise missing("action", name, [entry.name for entry in catalogue])
    told = {node for entry in catalogue for node in entry.nodes}
    return frozenset(told) - frozenset(found.nodes)
