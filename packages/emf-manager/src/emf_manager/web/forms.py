"""What a browser posts: a form, bounded before it is read."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from emf_manager.api.problems import ProblemError
from emf_manager.api.strict_json import MAX_BODY_BYTES

__all__ = ["read_form"]

MAX_FIELDS = 1000


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form, the last of each name.

    Raises:
        ProblemError: too large, of another kind, too many fields, or the browser went away.

    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise ProblemError(415, "media-type", "pages take forms; programs use the API")
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise ProblemError(413, "too-large", f"the limit is {MAX_BODY_BYTES} bytes")
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ClientDisconnect as error:
        raise ProblemError(400, "invalid", "the browser went away in mid-form") from error
    except ValueError as error:
        raise ProblemError(400, "invalid", "this is not a form that a page sends") from error
    return dict(fields)
