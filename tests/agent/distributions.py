"""Throw-away distributions: a metadata directory and modules in a folder, as pip leaves them."""

from __future__ import annotations

import base64
import hashlib
import sys
import textwrap
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import MetadataPathFinder
from pathlib import Path

__all__ = ["DAEMON", "GROUP", "Site", "importing", "rule"]

GROUP = "emf_agent.plugins"

DAEMON = '''
from emf_agent.plugin import Daemon, action, hookimpl

class Tick(Daemon):
    """Counts."""

    name = "{name}"

    async def update_session(self) -> int:
        return 1

@action
async def {name}_now(path: str) -> str:
    """Say a path."""
    return path

@hookimpl
def emf_actions():
    return [{name}_now]

@hookimpl
def emf_daemons():
    return [Tick]
'''


class Site:
    """A folder like ``site-packages``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def path(self) -> list[str]:
        return [str(self.folder)]

    def install(
        self,
        name: str,
        entries: Mapping[str, str],
        *,
        version: str = "1.0",
        claims: str | None = None,
        group: str = GROUP,
    ) -> Path:
        """Write a metadata directory; ``claims`` is the name its METADATA gives."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {claims or name}\nVersion: {version}\n"
        )
        lines = "".join(f"{entry} = {value}\n" for entry, value in entries.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        MetadataPathFinder().invalidate_caches()
        return info

    def seal(self, info: Path, *more: str) -> None:
        """Write RECORD: the metadata, and what lies below the folders or files of ``more``."""
        paths = [
            one for name in (info.name, *more) for one in sorted(files_below(self.folder / name))
        ]
        lines = [
            f"{path.relative_to(self.folder)},sha256={record_digest(path)},{path.stat().st_size}\n"
            for path in paths
            if path.name != "RECORD"
        ]
        (info / "RECORD").write_text("".join([*lines, f"{info.name}/RECORD,,\n"]))

    def module(self, name: str, text: str) -> None:
        """Write a module, and the packages around it."""
        file = self.folder.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        for folder in file.relative_to(self.folder).parents:
            if str(folder) != ".":
                (self.folder / folder / "__init__.py").touch()
        file.write_text(textwrap.dedent(text))

    def plugin(self, distribution: str, entry: str, text: str | None = None) -> str:
        """Install a distribution with one plugin; returns its entry point's value."""
        package = distribution.replace("-", "_")
        self.module(f"{package}.plugin", text or DAEMON.format(name=entry.replace(".", "_")))
        self.install(distribution, {entry: f"{package}.plugin"})
        return f"{package}.plugin"


def files_below(place: Path) -> list[Path]:
    """Return a file, or every file below a folder."""
    return [one for one in place.rglob("*") if one.is_file()] if place.is_dir() else [place]


def record_digest(path: Path) -> str:
    """Return a file's SHA-256 as RECORD writes it."""
    digest = hashlib.sha256(path.read_bytes()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@contextmanager
def importing(site: Site) -> Generator[None, None, None]:
    """Put a site on ``sys.path`` and forget its modules afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(site.folder))
    try:
        yield
    finally:
        sys.path.remove(str(site.folder))
        for name in set(sys.modules) - before:
            if str(site.folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def rule(entry: str, distribution: str, value: str, **more: str) -> str:
    """Return one table of an allowlist; ``more`` is TOML text by key."""
    told = {"actions": '["*"]', "daemons": '["*"]', **more}
    lines = "".join(f"{key} = {text}\n" for key, text in told.items())
    return (
        f'\n[[plugin]]\nid = "{entry}"\ndistribution = "{distribution}"\n'
        f'entry_point = ["{GROUP}", "{entry}", "{value}"]\n{lines}'
    )
