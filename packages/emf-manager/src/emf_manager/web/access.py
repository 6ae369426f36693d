"""The page of access: users with roles and mandates, their tokens, and tokens for enrolment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from emf_manager.api import models as m
from emf_manager.api.paging import MAX_PAGE
from emf_manager.api.paging import Page as ListPage
from emf_manager.api.problems import ProblemError
from emf_manager.authorization import ROLES
from emf_manager.web.answers import get
from emf_manager.web.pages import UI, Page, Visit

__all__ = ["PAGES"]

PATH = f"{UI}/access"
LIVES: Mapping[str, float] = {
    "1 hour": 3600, "8 hours": 28800, "1 day": 86400, "7 days": 604800, "30 days": 2592000,
    "90 days": 7776000, "1 year": 31536000,
}  # fmt: skip
LONGEST_ENROLMENT_S = 604800


async def show(visit: Visit) -> Response:
    """Show who may come in, and what may join."""
    return await page(visit)


async def page(
    visit: Visit,
    *,
    made: m.NewToken | m.NewEnrolmentToken | None = None,
    problem: ProblemError | None = None,
    about: str = "",
) -> Response:
    """Return the page; a secret just made is shown this once."""
    users = await get(visit, ListPage[m.User], "/users", limit=MAX_PAGE)
    tokens = await get(visit, ListPage[m.Token], "/tokens", limit=MAX_PAGE)
    enrolments = await get(visit, ListPage[m.EnrolmentToken], "/enrolment-tokens", limit=MAX_PAGE)
    now = visit.service.now()
    return visit.page(
        "access.html",
        status=problem.status if problem else 200,
        users=users.items,
        tokens=sorted(tokens.items, key=lambda one: (ended(one, now), one.user, one.created)),
        enrolments=sorted(enrolments.items, key=lambda one: (ended(one, now), one.created)),
        ended=ended,
        has_args=has_args,
        made=made,
        is_enrolment=isinstance(made, m.NewEnrolmentToken),
        problem=problem,
        about=about,
        form=visit.form,
        roles=ROLES,
        lives=LIVES,
        enrolment_lives={n: s for n, s in LIVES.items() if s <= LONGEST_ENROLMENT_S},
    )


def has_args(user: m.User) -> bool:
    """Tell whether a mandate bounds argument values, which the page's short form cannot say."""
    return any(one.args for one in user.mandates)


def ended(token: m.Token | m.EnrolmentToken, now: float) -> str:
    """Return why a token is of no use any more; nothing where it is."""
    if token.revoked is not None:
        return "revoked"
    if token.expires is not None and token.expires.timestamp() <= now:
        return "expired"
    if isinstance(token, m.EnrolmentToken) and token.uses_left <= 0:
        return "used up"
    return ""


async def add_user(visit: Visit) -> Response:
    """Create a user, bound to a mandate where one is given."""
    form = visit.form
    body: dict[str, Any] = {"name": visit.value("name"), "role": visit.value("role")}
    if mandates := mandates_of(form):
        body["mandates"] = mandates
    return await done(visit, "user", "POST", "/users", body)


async def bind_user(visit: Visit) -> Response:
    """Say what alone a user may order."""
    name = visit.request.path_params["name"]
    body = {"mandates": mandates_of(visit.form)}
    return await done(visit, "user", "PUT", f"/users/{name}/mandates", body)


def mandates_of(form: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the mandates in a form: one a line, ``ACTIONS on NODES``; none where it is empty."""
    found = []
    for line in form.get("mandates", "").splitlines():
        if line.strip():
            actions, _, nodes = line.partition(" on ")
            listed = [one.strip() for one in actions.split(",") if one.strip()]
            found.append({"actions": listed, "nodes": nodes.strip() or "*"})
    return found


async def delete_user(visit: Visit) -> Response:
    """Delete a user with all tokens."""
    return await done(visit, "user", "DELETE", f"/users/{visit.request.path_params['name']}")


async def add_token(visit: Visit) -> Response:
    """Create an API token, and show its secret once."""
    body: dict[str, Any] = {"user": visit.value("user"), "label": visit.form.get("label", "")}
    if (life := LIVES.get(visit.form.get("life", ""))) is not None:
        body["ttl_s"] = life
    try:
        answer = await visit.call("POST", "/tokens", body)
    except ProblemError as problem:
        return await page(visit, problem=problem, about="token")
    return await page(visit, made=m.NewToken.model_validate(answer.body))


async def revoke_token(visit: Visit) -> Response:
    """Revoke an API token."""
    return await done(visit, "token", "DELETE", f"/tokens/{visit.request.path_params['token_id']}")


async def add_enrolment(visit: Visit) -> Response:
    """Create a token for enrolment, and show its secret once."""
    form = visit.form
    uses = form.get("uses", "1").strip()
    body: dict[str, Any] = {
        "nodes": form.get("nodes", "").strip() or "*",
        "uses": int(uses) if uses.isdecimal() and len(uses) < 9 else 0,
        "ttl_s": LIVES.get(form.get("life", ""), 3600),
        "replace": "replace" in form,
        "approval": "approval" in form,
    }
    if role := form.get("role", "").strip():
        body["role"] = role
    try:
        answer = await visit.call("POST", "/enrolment-tokens", body)
    except ProblemError as problem:
        return await page(visit, problem=problem, about="enrolment")
    return await page(visit, made=m.NewEnrolmentToken.model_validate(answer.body))


async def revoke_enrolment(visit: Visit) -> Response:
    """Revoke a token for enrolment."""
    return await done(
        visit, "enrolment", "DELETE", f"/enrolment-tokens/{visit.request.path_params['token_id']}"
    )


async def done(
    visit: Visit, about: str, method: str, path: str, body: dict[str, Any] | None = None
) -> Response:
    """Write, and come back to the page; what was refused is told where it was asked for."""
    try:
        await visit.call(method, path, body)
    except ProblemError as problem:
        return await page(visit, problem=problem, about=about)
    return visit.go(PATH)


PAGES = (
    Page("/access", "administer", show, nav="Access"),
    Page("/access/users", "administer", add_user, methods=("POST",)),
    Page("/access/users/{name}/bind", "administer", bind_user, methods=("POST",)),
    Page("/access/users/{name}/delete", "administer", delete_user, methods=("POST",)),
    Page("/access/tokens", "administer", add_token, methods=("POST",)),
    Page("/access/tokens/{token_id}/revoke", "administer", revoke_token, methods=("POST",)),
    Page("/access/enrolments", "administer", add_enrolment, methods=("POST",)),
    Page("/access/enrolments/{token_id}/revoke", "administer", revoke_enrolment, methods=("POST",)),
)
