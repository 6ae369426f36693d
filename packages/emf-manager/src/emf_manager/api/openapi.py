"""The OpenAPI 3.1 document: what the framework knows, made whole with our rules and examples.

Permissions come from the route table, problems from what the guard and the routes may answer, and
every example is made of the models' own, so that it fits its schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from emf_manager.api import problems
from emf_manager.authorization import GRANTED, Permission, Route, find_route

__all__ = ["describe", "example_of", "operations"]

Json = dict[str, Any]

PROBLEMS = {
    400: "The body is not acceptable JSON.",
    401: "There is no valid token.",
    403: "The role, a mandate or a limit of the manager does not allow it.",
    404: "There is no such thing, or no node matches.",
    409: "It conflicts with what is there, or the idempotency key was used before.",
    412: "It was changed since the version that `If-Match` names.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not sent as `application/json`.",
    422: "It does not fit: each field that is wrong is named, with what was expected and got.",
    429: "Too many requests; `Retry-After` says when to come back.",
    500: "A fault of the manager; its log has the reason.",
    503: "The manager cannot take this now; `Retry-After` says when to come back.",
}
PARAMETERS = {
    "action": "The name of an action.",
    "action_id": "The id of an action on one node.",
    "after": "Only what comes after this number.",
    "cursor": "Where the page begins: `next` of the page before.",
    "daemon": "The name of a daemon.",
    "exclude": "Node set to leave out.",
    "fqdn": "The node's full name, or its first label where only one node has it.",
    "job_id": "The job's id.",
    "last-event-id": "Resume after this event.",
    "limit": "How many there are on a page, at most.",
    "name": "Its name.",
    "nodes": "Node set: only these nodes.",
    "plan_id": "The plan's id.",
    "reason": "Why; it stands in the events and in the audit trail.",
    "state": "Only those in this state.",
    "token_id": "The token's id, which is not its secret.",
    "user": "Only what this user did.",
}
"""Of parameters that several routes share; the others are described where they are."""
SAMPLES = {
    "daemon": "network",
    "exclude": "oss02",
    "fqdn": "oss01.example.com",
    "job_id": "01931f6e-6b7a-7c3e-9d50-1f7f4f3c2a10",
    "name": "maria",
    "nodes": "oss[01-16]",
    "plan_id": "01931f6e-6b7a-7c3e-9d50-1f7f4f3c2a10",
    "token_id": "3f2a9c1e77d0",
}
KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Chosen by the caller: sent again under it within a day, the request is done "
    "once and answered alike.",
    "schema": {
        "type": "string",
        "minLength": 8,
        "maxLength": 128,
        "pattern": r"^[\x21-\x7e]+$",
        "examples": ["b6f1c9de-1d0f-4a53"],
    },
}
FRESH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the version you have: where it still holds the answer is 304.",
    "schema": {"type": "string", "examples": ['W/"0f3c"']},
}
UNCHANGED: Json = {"description": "The version you have still holds.", "headers": {}}
RETRY: Json = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
}
WRITES = {"post", "put", "delete"}


def describe(app: FastAPI) -> Json:
    """Return the document of an application's routes."""
    made = getattr(app.state, "document", None)
    if made is None:
        made = app.state.document = make(app)
    document: Json = made
    return document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield method, path and operation of every route."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def make(app: FastAPI) -> Json:
    document = app.openapi()
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schema = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs"))
    schemas["Problem"] = schema
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for method, path, operation in operations(document):
        route = find_route(method.upper(), path)
        assert route is not None
        complete(operation, method, path, route)
        give_examples(operation, schemas)
    return document


def complete(operation: Json, method: str, path: str, route: Route) -> None:
    """Say of an operation what every one has."""
    told = operation.get("description") or operation["summary"]
    operation["summary"] = told.partition("\n")[0].rstrip(".")
    operation["description"] = f"{told}\n\n{who_may(route.permission)}"
    operation["security"] = [] if route.permission == "public" else [{"token": []}]
    operation["x-permission"] = route.permission
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        parameter.setdefault("description", PARAMETERS.get(parameter["name"], ""))
    refusals = problems_of(operation, method, path, route)
    reads_json = method == "get" and "application/json" in content_of(operation, "200")
    known = {parameter["name"] for parameter in parameters}
    if method in WRITES and KEY["name"] not in known:
        parameters.append(KEY)
    if reads_json and route.permission != "public":
        parameters.append(FRESH)
        operation["responses"]["304"] = UNCHANGED
    operation["responses"].pop("422", None)
    for status in sorted(refusals):
        operation["responses"][str(status)] = problem_answer(status, path)


def who_may(permission: Permission) -> str:
    if permission == "public":
        return "Needs no token."
    roles = [role for role, granted in GRANTED.items() if permission in granted]
    return f"Needs the permission `{permission}`: {', '.join(roles)}."


def problems_of(operation: Json, method: str, path: str, route: Route) -> set[int]:
    if route.permission == "public":
        return {429, 500}
    found = {401, 403, 429, 500, 503}
    if "{" in path or "requestBody" in operation or names(operation) & {"nodes", "job"}:
        found |= {404}
    if operation["parameters"] or "requestBody" in operation:
        found |= {422}
    if method in WRITES:
        found |= {400, 409, 413, 415}
    if "If-Match" in names(operation):
        found |= {412}
    return found


def names(operation: Json) -> set[str]:
    return {parameter["name"] for parameter in operation["parameters"]}


def problem_answer(status: int, path: str) -> Json:
    kind = problems.BY_STATUS[status]
    example = problems.Problem(
        type=problems.PROBLEM_TYPE + kind,
        title=problems.TITLES[kind],
        status=status,
        detail=PROBLEMS[status],
        instance=path,
    )
    content = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "example": example.model_dump(mode="json"),
    }
    answer: Json = {
        "description": PROBLEMS[status],
        "content": {problems.MEDIA_TYPE: content},
    }
    return {**answer, "headers": RETRY} if status in {429, 503} else answer


def give_examples(operation: Json, schemas: Json) -> None:
    """Give every parameter, body and answer an example that has none."""
    for parameter in operation["parameters"]:
        schema = parameter["schema"]
        sample = SAMPLES.get(parameter["name"], example_of(schema, schemas))
        if parameter.get("required"):
            parameter.setdefault("example", sample)
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    for body in bodies:
        for content in body.get("content", {}).values():
            if "example" not in content and "schema" in content:
                content["example"] = example_of(content["schema"], schemas)


def content_of(operation: Json, status: str) -> Json:
    content: Json = operation["responses"].get(status, {}).get("content", {})
    return content


def example_of(schema: Any, schemas: Json, *, depth: int = 8) -> Any:
    """Return a value that fits a schema, made of the examples and defaults in it."""
    if not isinstance(schema, dict) or depth == 0:
        return None
    if "$ref" in schema:
        target = schemas[schema["$ref"].rpartition("/")[2]]
        return example_of({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, schemas)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if "const" in schema or "default" in schema:
        return schema.get("const", schema.get("default"))
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return example_of(schema[key][0], schemas, depth=depth - 1)
    return of_type(schema, schemas, depth)


def of_type(schema: Json, schemas: Json, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            members = schema.get("properties", {})
            return {n: example_of(m, schemas, depth=depth - 1) for n, m in members.items()}
        case "array":
            return [example_of(schema["items"], schemas, depth=depth - 1)]
        case "string":
            return {"date-time": "2026-03-01T12:00:00Z"}.get(schema.get("format", ""), "text")
        case "integer" | "number":
            return max(schema.get("minimum", 1), 1)
        case "boolean":
            return False
    return None
