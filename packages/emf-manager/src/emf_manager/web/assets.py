"""Scripts, style sheet and pictures: read once, compressed once, kept by browsers for ever.

They stand below one segment that is made of all their bytes, so that a new version has new
addresses, and modules find each other by ``./name.js``.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Assets"]

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file."""

    kind: str
    plain: bytes

    @cached_property
    def packed(self) -> bytes:
        """Its bytes as gzip sends them."""
        return gzip.compress(self.plain, 9, mtime=0)


class Assets:
    """Every file below ``static/``, by its path there."""

    def __init__(self) -> None:
        self.files = dict(sorted(found(Path(__file__).parent / "static"), key=lambda one: one[0]))
        digest = hashlib.sha256()
        for name, asset in self.files.items():
            digest.update(f"{name}\0{len(asset.plain)}\0".encode() + asset.plain)
        self.version = digest.hexdigest()[:16]

    def url(self, name: str) -> str:
        """Return the address of a file; a page that names none fails."""
        assert name in self.files, name
        return f"/ui/static/{self.version}/{name}"

    async def serve(self, request: Request) -> Response:
        """Answer with a file; one of another version is not here any more."""
        asset = self.files.get(request.path_params["name"])
        if asset is None or request.path_params["version"] != self.version:
            return Response("there is no such file\n", 404, media_type="text/plain")
        headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
        body = asset.plain
        if "gzip" in Headers(scope=request.scope).get("accept-encoding", ""):
            body, headers["Content-Encoding"] = asset.packed, "gzip"
        return Response(body, media_type=asset.kind, headers=headers)


def found(folder: Path) -> list[tuple[str, Asset]]:
    return [
        (path.relative_to(folder).as_posix(), Asset(KINDS[path.suffix], path.read_bytes()))
        for path in folder.rglob("*")
        if path.suffix in KINDS
    ]
