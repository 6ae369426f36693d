"""Routes of accounts: who am I, users and their tokens, tokens for enrolment."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from emf_manager.api import models as m
from emf_manager.api.fleet import PageQuery, missing, tagged
from emf_manager.api.mandates import check_mandates
from emf_manager.api.paging import (
    IfMatch,
    Page,
    check_match,
    decode_cursor,
    encode_cursor,
    entity_tag,
    page,
)
from emf_manager.api.problems import ProblemError
from emf_manager.api.service import Caller, Manager, Service
from emf_manager.authorization import GRANTED
from emf_manager.records import AuditOrder

__all__ = ["router"]

router = APIRouter(tags=["accounts"])


class AuditQuery(PageQuery):
    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    before: Annotated[int, Field(ge=1, lt=2**63)] | None = Field(
        default=None, description="Only lines below this number."
    )
    order: AuditOrder = Field(default="oldest", description="Which lines come first.")


@router.get("/me", response_model=m.Me)
async def show_me(caller: Caller) -> Any:
    """Show whose token this is, and what it may do."""
    return m.Me(user=caller.user, role=caller.role, permissions=tuple(sorted(GRANTED[caller.role])))


@router.get("/users", response_model=Page[m.User])
async def list_users(manager: Manager, query: Annotated[PageQuery, Query()]) -> Any:
    """List users, by name."""
    cut, following = page(
        await manager.accounts.users(), lambda u: (u.name,), cursor=query.cursor, limit=query.limit
    )
    return Page[m.User](items=cut, next=following)


@router.post("/users", status_code=201, response_model=m.User)
async def create_user(manager: Manager, caller: Caller, body: m.UserRequest) -> Any:
    """Create a user; a token is made apart."""
    check_mandates(body.role, body.mandates)
    user = await manager.accounts.create_user(caller, body)
    if user is None:
        raise ProblemError(409, "conflict", f"there is a user {body.name} already")
    return user


@router.get("/users/{name}", response_model=m.User)
async def show_user(manager: Manager, name: str, request: Request) -> Any:
    """Show one user, with what alone they may order."""
    user = await one_user(manager, name)
    return tagged(request, user, user)


@router.put("/users/{name}/mandates", response_model=m.User)
async def bind_user(
    manager: Manager,
    caller: Caller,
    name: str,
    body: m.MandatesRequest,
    request: Request,
    if_match: IfMatch = None,  # noqa: ARG001 - for the document; check_match reads it
) -> Any:
    """Say what alone a user may order; an empty list leaves what the role allows."""
    async with manager.turn:
        before = await one_user(manager, name)
        check_match(request, entity_tag(before))
        check_mandates(before.role, body.mandates)
        user = await manager.accounts.bind_user(caller, name, body.mandates)
    if user is None:
        raise missing("user", name, ())
    headers = {"ETag": entity_tag(user)}
    return JSONResponse(user.model_dump(mode="json"), headers=headers)


@router.get("/audit", response_model=Page[m.AuditLine])
async def list_audit(manager: Manager, query: Annotated[AuditQuery, Query()]) -> Any:
    """List the audit trail from one of its ends; each line is chained to the one before."""
    after, before = query.after, query.before
    if query.cursor is not None:
        last = int(decode_cursor(query.cursor, int)[0])
        after, before = (after, last) if query.order == "newest" else (last, before)
    lines = await manager.accounts.audit_trail(
        after=after, before=before, order=query.order, limit=query.limit + 1
    )
    cut = tuple(lines[: query.limit])
    following = encode_cursor((cut[-1].sequence,)) if len(lines) > query.limit else None
    return Page[m.AuditLine](items=cut, next=following)


@router.delete("/users/{name}", status_code=204)
async def delete_user(manager: Manager, caller: Caller, name: str) -> Response:
    """Delete a user; their tokens end with them."""
    if name == caller.user:
        raise ProblemError(409, "conflict", "nobody deletes their own user; ask another admin")
    if not await manager.accounts.delete_user(caller, name):
        raise missing("user", name, [user.name for user in await manager.accounts.users()])
    return Response(status_code=204)


@router.get("/tokens", response_model=Page[m.Token])
async def list_tokens(manager: Manager, query: Annotated[PageQuery, Query()]) -> Any:
    """List API tokens, without their secrets."""
    cut, following = page(
        await manager.accounts.tokens(),
        lambda t: (t.user, t.id),
        cursor=query.cursor,
        limit=query.limit,
    )
    return Page[m.Token](items=cut, next=following)


@router.post("/tokens", status_code=201, response_model=m.NewToken)
async def create_token(manager: Manager, caller: Caller, body: m.TokenRequest) -> Any:
    """Create an API token for a user; the secret is in this answer and nowhere else."""
    token = await manager.accounts.create_token(caller, body)
    if token is None:
        raise missing("user", body.user, [user.name for user in await manager.accounts.users()])
    return token


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke_token(manager: Manager, caller: Caller, token_id: str) -> Response:
    """Revoke an API token; it is refused from now on."""
    if not await manager.accounts.revoke_token(caller, token_id):
        raise missing("token", token_id, ())
    return Response(status_code=204)


@router.get("/enrolment-tokens", response_model=Page[m.EnrolmentToken])
async def list_enrolment_tokens(manager: Manager, query: Annotated[PageQuery, Query()]) -> Any:
    """List enrolment tokens, without their secrets."""
    cut, following = page(
        await manager.accounts.enrolment_tokens(),
        lambda t: (t.id,),
        cursor=query.cursor,
        limit=query.limit,
    )
    return Page[m.EnrolmentToken](items=cut, next=following)


@router.post("/enrolment-tokens", status_code=201, response_model=m.NewEnrolmentToken)
async def create_enrolment_token(
    manager: Manager, caller: Caller, body: m.EnrolmentTokenRequest
) -> Any:
    """Create a token that lets nodes enrol; the secret is in this answer and nowhere else."""
    return await manager.accounts.create_enrolment_token(caller, body)


@router.delete("/enrolment-tokens/{token_id}", status_code=204)
async def revoke_enrolment_token(manager: Manager, caller: Caller, token_id: str) -> Response:
    """Revoke an enrolment token; nobody enrols with it any more."""
    if not await manager.accounts.revoke_enrolment_token(caller, token_id):
        raise missing("enrolment token", token_id, ())
    return Response(status_code=204)


async def one_user(manager: Service, name: str) -> m.User:
    """Return a user.

    Raises:
        ProblemError: there is none.

    """
    users = {user.name: user for user in await manager.accounts.users()}
    if name not in users:
        raise missing("user", name, users)
    return users[name]
