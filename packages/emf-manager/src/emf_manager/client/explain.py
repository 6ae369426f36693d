"""``emf --explain``: a request as a curl command, which says all of it but the token."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Explained", "as_curl"]

OF_THE_LIBRARY = {
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "host",
    "user-agent",
}
"""Headers that curl writes itself, or that are said otherwise."""


class Explained(Exception):  # noqa: N818 - the end that was asked for, and no error
    """The request was shown and not sent, so there is no answer to go on with."""


def as_curl(
    method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes, *, ca: Path | None
) -> str:
    """Return a request as a command for a shell, its token in ``$EMF_TOKEN``."""
    words = ["curl"]
    if method != "GET":
        words.append(f"--request {method}")
    words.append(shlex.quote(url))
    parts = [" ".join(words), '--header "Authorization: Bearer $EMF_TOKEN"']
    for name, value in headers:
        if name.lower() not in OF_THE_LIBRARY and (name.lower(), value) != ("accept", "*/*"):
            parts.append(f"--header {shlex.quote(f'{name}: {value}')}")
            if value == "text/event-stream":
                parts.append("--no-buffer")
    if ca is not None:
        parts.append(f"--cacert {shlex.quote(str(ca))}")
    if body:
        parts.append(f"--data {shlex.quote(body.decode())}")
    return " \\\n  ".join(parts)
