"""What pages read of the API, as its models: with the same refusals as any program's."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from emf_manager.web.pages import Visit

__all__ = ["get"]

T = TypeVar("T", bound=BaseModel)


async def get(visit: Visit, kind: type[T], path: str, /, **query: str | int | None) -> T:
    """Return what is at a path of the API; what is None is not asked for.

    Raises:
        ProblemError: the API refused; it is shown as a page.

    """
    asked = {name: str(value) for name, value in query.items() if value is not None}
    return kind.model_validate((await visit.call("GET", path, **asked)).body)
