"""A step of a plan becomes a job as any order does: judged by what its user may do just then."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from pydantic import ValidationError

from emf_agent.errors import RefusedError, UsageError
from emf_manager.api import models as m
from emf_manager.api.jobs import place
from emf_manager.api.problems import ProblemError, field_fault
from emf_manager.api.service import Service
from emf_manager.authorization import Principal, permits
from emf_manager.plan_driver import StepOrder
from emf_manager.records import User

__all__ = ["PlanOrders"]


class PlanOrders:
    """``Orders`` through the API's own way of making a job."""

    def __init__(self, service: Service, users: Callable[[], Awaitable[Sequence[User]]]) -> None:
        self._service = service
        self._users = users

    async def place(self, order: StepOrder, *, requester: str, key: str) -> str:
        """Make the job, and return its id.

        Raises:
            EmfError: it is refused, by what the user may do or what the nodes have. StoreError.

        """
        caller = await self._caller(requester)
        try:
            body = m.JobRequest.model_validate_json(
                json.dumps(
                    {
                        "nodes": order.nodes,
                        "exclude": order.exclude,
                        "action": order.action,
                        "args": order.args,
                        **order.options,
                    }
                )
            )
            job = await place(self._service, caller, body, key)
        except ProblemError as problem:
            raise RefusedError(problem.detail) from problem
        except ValidationError as error:
            faults = [field_fault(each) for each in error.errors()]
            told = "; ".join(f"{each.field}: expected {each.expected}" for each in faults)
            raise UsageError(told) from None
        return job.id

    async def _caller(self, name: str) -> Principal:
        for user in await self._users():
            if user.name == name and user.disabled is None:
                caller = Principal(name, user.role, "plan", user.mandates)
                if permits(caller, "operate"):
                    return caller
                raise RefusedError(f"{name} has the role {user.role}, which may not operate")
        raise RefusedError(f"there is no user {name} any more, for whom this would run")
