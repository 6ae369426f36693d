"""Wheels that try to run code past the allowlist: each row of the security design's section 2.

Each writes a tripwire when its code runs. They are harmless otherwise, and built at test time.
"""

from __future__ import annotations

import importlib.util
import py_compile
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import _pydantic_core

from tests.together.scratch import wheel

__all__ = ["HOSTILE", "Hostile"]

Build = Callable[[Path, str], Path]
GROUP = "emf_agent.plugins"
GOOD = "emf_good.plugin"


@dataclass(frozen=True)
class Hostile:
    """One wheel: how it is built, and what it reaches without a closed world."""

    title: str
    build: Build
    """Called with a folder and the code that springs the tripwire."""
    states: tuple[str, ...] = ("loaded",)
    """States of the allowed plugin in the closed world: unharmed, or refused where its own files
    were changed."""


def start_up(folder: Path, spring: str) -> Path:
    finder = f"""
        import sys
        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None): return None
        {spring}
        sys.meta_path.insert(0, Finder)
        """
    return wheel(
        folder,
        "evil",
        {
            "evil.pth": f"import sys; {spring}\n",
            "evil_finder.pth": "import evil_finder\n",
            "evil_finder.py": finder,
            "sitecustomize.py": spring,
        },
    )


def listing(folder: Path, spring: str) -> Path:
    finder = f"""
        import sys
        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None): return None
            @staticmethod
            def find_distributions(context=None):
                {spring}
                return []
        sys.meta_path.insert(0, Finder)
        """
    return wheel(folder, "evil", {"evil.pth": "import evil_finder\n", "evil_finder.py": finder})


def same_name(folder: Path, spring: str) -> Path:
    return wheel(
        folder,
        "aaa-evil",
        {"aaa_evil/__init__.py": spring, "aaa_evil/plugin.py": spring},
        entries={GROUP: {"good": "aaa_evil.plugin"}},
    )


def overwrite(folder: Path, spring: str) -> Path:
    return wheel(folder, "evil", {"emf_good/__init__.py": spring})


def second_metadata(folder: Path, spring: str) -> Path:
    info = "evil-1.0.data/purelib/emf_plugin_good-9.9.dist-info"
    return wheel(
        folder,
        "evil",
        {
            "evil/__init__.py": "",
            "evil/plugin.py": spring,
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: emf-plugin-good\nVersion: 9.9\n",
            f"{info}/entry_points.txt": f"[{GROUP}]\ngood = evil.plugin\n",
        },
    )


def lying_metadata(folder: Path, spring: str) -> Path:
    info = "evil-1.0.data/purelib/aaa-1.0.dist-info"
    return wheel(
        folder,
        "evil",
        {
            "evil/__init__.py": "",
            "evil/plugin.py": spring,
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: emf-plugin-good\nVersion: 1.0\n",
            f"{info}/entry_points.txt": f"[{GROUP}]\ngood = evil.plugin\n",
        },
    )


def extension(folder: Path, spring: str) -> Path:
    """An extension goes before ``sub.py``; any will do, that of a dependency is at hand."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    data = Path(str(_pydantic_core.__file__)).read_bytes()
    return wheel(
        folder,
        "evil",
        {f"emf_good/sub{suffix}": data, "sitecustomize.py": f"# {spring}"},
    )


def unchecked_code(folder: Path, spring: str) -> Path:
    source = folder / "hostile_source.py"
    folder.mkdir(parents=True, exist_ok=True)
    source.write_text(spring)
    compiled = folder / "hostile.pyc"
    py_compile.compile(
        str(source),
        str(compiled),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    name = Path(importlib.util.cache_from_source("emf_good/__init__.py")).name
    return wheel(folder, "evil", {f"emf_good/__pycache__/{name}": compiled.read_bytes()})


def foreign_group(folder: Path, spring: str) -> Path:
    return wheel(
        folder,
        "evil",
        {"evil_plugin.py": f"{spring}\nplugin = None\n"},
        entries={"pydantic": {"evil": "evil_plugin:plugin"}},
    )


def missing_import(folder: Path, spring: str) -> Path:
    """A module that a dependency imports where it is there: httpx does so with pygments."""
    return wheel(folder, "evil", {"pygments/__init__.py": spring, "rich/__init__.py": spring})


def interpreter(folder: Path, spring: str) -> Path:
    """Files beside the site: the environment's interpreter, its configuration, a boot archive."""
    script = f"#!{sys.executable}\n{spring}\n"
    return wheel(
        folder,
        "evil",
        {
            "evil-1.0.data/scripts/python": script,
            "evil-1.0.data/scripts/emf-agent": script,
            "evil-1.0.data/data/boot.pyz": spring,
            "evil-1.0.data/data/pyvenv.cfg": "home = /nowhere\n",
        },
    )


HOSTILE = (
    Hostile("start-up hooks", start_up),
    Hostile("a finder that runs when metadata is listed", listing),
    Hostile("the same entry point from another distribution", same_name),
    Hostile("a file of the allowed plugin overwritten", overwrite, ("tampered",)),
    Hostile("a second metadata directory of the allowed name", second_metadata),
    Hostile("metadata that lies about its name", lying_metadata),
    Hostile("an extension beside a source file", extension),
    Hostile("compiled code that Python never checks", unchecked_code),
    Hostile("an entry point in a group of a dependency", foreign_group),
    Hostile("a module that a dependency would like to import", missing_import),
    Hostile("the environment's own interpreter", interpreter),
)
