"""A scratch environment with the agent installed from wheels, as on a node."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import venv
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["GOOD", "Environment", "make_environment", "wheel"]

CORE = "emf-agent-core"
BASE = str(getattr(sys, "_base_executable", sys.executable))
"""The interpreter that virtual environments are made of: pip does not write beside it."""
GOOD = {
    "emf_good/__init__.py": "",
    "emf_good/py.typed": "",
    "emf_good/sub.py": "ANSWER = 42\n",
    "emf_good/plugin.py": """
        from pydantic import BaseModel

        from emf_agent.plugin import action, hookimpl
        from emf_good.sub import ANSWER

        class Answer(BaseModel):
            number: int

        @action
        async def ask() -> Answer:
            "Say the answer."
            return Answer(number=ANSWER)

        @hookimpl
        def emf_actions():
            return [ask]
        """,
}


COLLECT = """
import sys
archive, sys.argv = sys.argv[1], ["emf-agent", *sys.argv[2:]]
sys.path.insert(0, archive)
import zipimport
from emf_agent.gate import boot
places = boot.Places.of(sys.argv)
sys.path.remove(archive)
core = zipimport.zipimporter(archive).get_data("core.lock")
foreign = []
boot.enter(boot.examine(archive, core, places), places.cache, archive, foreign.append)
from emf_agent.cli import main
try:
    main(sys.argv[1:])
finally:
    print(foreign, file=sys.stderr)
"""
"""Boots as the archive does, with a hook that collects; the list is the last line of stderr."""


def record(files: Mapping[str, bytes], name: str) -> bytes:
    """Return RECORD for files; pip lists compiled code without a hash."""
    lines = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        told = "," if path.endswith(".pyc") else f"sha256={digest},{len(data)}"
        lines.append(f"{path},{told}\n")
    return "".join([*lines, f"{name},,\n"]).encode()


def wheel(
    folder: Path,
    name: str,
    files: Mapping[str, str | bytes],
    *,
    version: str = "1.0",
    entries: Mapping[str, Mapping[str, str]] | None = None,
    metadata: bytes | None = None,
) -> Path:
    """Write a wheel; ``entries`` are entry points by group."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    points = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in table.items())
        for group, table in (entries or {}).items()
    )
    all_files = {
        path: textwrap.dedent(data).encode() if isinstance(data, str) else data
        for path, data in files.items()
    }
    all_files[f"{info}/METADATA"] = metadata or (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    )
    all_files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    all_files[f"{info}/entry_points.txt"] = points.encode()
    all_files[f"{info}/RECORD"] = record(all_files, f"{info}/RECORD")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, data in all_files.items():
            told = zipfile.ZipInfo(inside)
            told.external_attr = (0o100755 if "/scripts/" in inside else 0o100644) << 16
            archive.writestr(told, data)
    return path


def closure(name: str) -> dict[str, Distribution]:
    """Return a distribution and all it requires here."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        one = str(canonicalize_name(waiting.pop()))
        if one in found:
            continue
        found[one] = distribution(one)
        for text in found[one].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


@dataclass(frozen=True)
class Environment:
    """A virtual environment, the agent's folder beside it, and the boot archive outside both."""

    folder: Path

    @property
    def site(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "venv/lib" / version / "site-packages"

    @property
    def python(self) -> Path:
        return self.folder / "venv/bin/python"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def archive(self) -> Path:
        return self.folder / "usr/boot.pyz"

    def pip(self, *arguments: str | Path) -> str:
        """Run pip of the environment, as an operator would."""
        return self.check([self.python, "-m", "pip", "--no-input", *arguments]).stdout

    def check(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a program that has to succeed."""
        done = self.run(command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def run(
        self, command: Sequence[str | Path], **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program with nothing of our environment."""
        return subprocess.run(
            list(map(str, command)),
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def plain(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the program as the environment has it, without a gate."""
        return self.run(
            [self.python, "-I", "-m", "emf_agent", *arguments, "--state-dir", self.state]
        )

    def closed(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the program in the closed world, by the interpreter the environment was made of."""
        return self.run(
            [BASE, "-I", "-S", self.archive, *arguments, "--state-dir", self.state], **environment
        )

    def collecting(self, *arguments: str) -> list[str]:
        """Return the command that does the same and collects foreign files."""
        start = [BASE, "-I", "-S", "-c", COLLECT, str(self.archive)]
        return [*start, *arguments, "--state-dir", str(self.state)]

    def states(self) -> dict[str, tuple[str, str | None]]:
        """Return each plugin's state and reason; of one name, what the allowlist knows is first."""
        done = self.closed("plugin", "list", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        listed = reversed(json.loads(done.stdout))
        return {one["name"]: (one["state"], one["reason"]) for one in listed}

    def renew(self, pristine: Path) -> None:
        """Make the environment what it was, at the same place; files are linked, not copied."""
        for name in ("venv", "state"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            shutil.copytree(
                pristine / name, self.folder / name, symlinks=True, copy_function=os.link
            )


def make_environment(folder: Path) -> Environment:
    """Make an environment with pip, the agent and one good plugin, locked and with its archive."""
    made = Environment(folder)
    venv.create(folder / "venv", with_pip=True, symlinks=True)
    for name, found in closure(CORE).items():
        if name != CORE:
            copy(found, made.site)
    wheels = folder / "wheels"
    source = Path(str(distribution(CORE).locate_file("")))
    core = core_files()
    assert source
    metadata = distribution(CORE).read_text("METADATA")
    assert metadata is not None
    entries = {"console_scripts": {"emf-agent": "emf_agent.cli:main"}}
    install(
        made,
        wheel(
            wheels,
            CORE,
            core,
            version=distribution(CORE).version,
            entries=entries,
            metadata=metadata.encode(),
        ),
        wheel(
            wheels,
            "emf-plugin-good",
            GOOD,
            entries={"emf_agent.plugins": {"good": "emf_good.plugin"}},
        ),
    )
    made.check(
        [made.python, "-m", "emf_agent", "init", "--mode", "enforce", "--state-dir", made.state]
    )
    made.check([made.python, "-m", "emf_agent", "plugin", "lock", "--state-dir", made.state])
    made.check(
        [made.python, "-m", "emf_agent", "plugin", "boot", made.archive, "--state-dir", made.state]
    )
    return made


def install(made: Environment, *wheels: Path) -> None:
    """Install wheels as an operator would, without an index."""
    made.pip("install", "--no-index", "--no-deps", "--no-compile", "--quiet", *wheels)


def core_files() -> dict[str, bytes]:
    """Return the files of the core's wheel: the package as it is here."""
    import emf_agent

    package = Path(str(emf_agent.__file__)).parent
    return {
        f"emf_agent/{path.relative_to(package)}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def copy(found: Distribution, site: Path) -> None:
    """Copy an installed distribution, without compiled code and scripts."""
    assert isinstance(found, PathDistribution)
    for file in found.files or ():
        if ".." in file.parts or file.suffix == ".pyc":
            continue
        target = site.joinpath(*file.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(found.locate_file(file)), target)
