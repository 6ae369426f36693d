"""Wheels on disk: what they would install, with hashes, and what is wrong with them as plugins."""

from __future__ import annotations

import configparser
import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from emf_agent.errors import UsageError
from emf_agent.plugin import ENTRY_POINT_GROUP

__all__ = ["check_wheel", "wheel_hashes", "wheels_in"]

WHEEL_BYTES = 512 * 1024 * 1024
SITE_DATA = ("purelib", "platlib")
CORE = "emf-agent-core"


def wheels_in(place: Path) -> list[Path]:
    """Return a wheel, or the wheels of a folder.

    Raises:
        UsageError: there is none.

    """
    found = [place] if place.suffix == ".whl" and place.is_file() else sorted(place.glob("*.whl"))
    if not found:
        raise UsageError(f"{place} is no wheel, and no folder with wheels")
    return found


def wheel_hashes(folder: Path) -> Mapping[str, Mapping[str, str]]:
    """Return for each wheel of a folder (``name-version``) its files below the site, with SHA-256.

    Raises:
        UsageError: a file is no wheel.

    """
    return {
        identity(path): {
            placed: hashlib.sha256(data).hexdigest()
            for name, data in contents(path).items()
            if (placed := below_the_site(name)) is not None
        }
        for path in wheels_in(folder)
    }


def identity(path: Path) -> str:
    """Return normal name and version of a wheel, from its file name."""
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise UsageError(f"{path}: {error}") from None
    return f"{name}-{version}"


def contents(path: Path) -> dict[str, bytes]:
    """Return the files of a wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(one.file_size for one in archive.infolist()) > WHEEL_BYTES:
                raise UsageError(f"{path}: holds more than {WHEEL_BYTES} bytes")
            return {
                one.filename: archive.read(one) for one in archive.infolist() if not one.is_dir()
            }
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise UsageError(f"{path}: not a wheel: {error}") from error


def below_the_site(name: str) -> str | None:
    """Return where pip puts a file of a wheel, below the site; None for everywhere else."""
    parts = PurePosixPath(name).parts
    if parts[0].endswith(".data"):
        return "/".join(parts[2:]) if len(parts) > 2 and parts[1] in SITE_DATA else None
    return name


def check_wheel(path: Path) -> tuple[str, ...]:
    """Return what is wrong with a wheel as a plugin's; nothing is installed or imported.

    Raises:
        UsageError: it is no wheel.

    """
    label = identity(path)
    return tuple(faults(label, contents(path)))


def faults(label: str, files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield what is wrong."""
    infos = sorted({name.partition("/")[0] for name in files if ".dist-info/" in name})
    own = [one for one in infos if one.count("/") == 0 and normal_info(one) == label]
    yield from (f"{one}: metadata of another distribution" for one in infos if one not in own)
    if not own:
        yield f"has no metadata directory of {label}"
        return
    headers = HeaderParser().parsestr(
        files.get(f"{own[0]}/METADATA", b"").decode("utf-8", "replace")
    )
    yield from metadata_faults(label, headers.get("Name", ""), headers.get_all("Requires-Dist", []))
    yield from file_faults(own[0], files)
    yield from entry_point_faults(files.get(f"{own[0]}/entry_points.txt", b""), files)


def normal_info(directory: str) -> str:
    """Return normal name and version of a metadata directory."""
    name, _, version = directory.removesuffix(".dist-info").partition("-")
    return f"{canonicalize_name(name)}-{version}"


def metadata_faults(label: str, name: str, requires: list[str]) -> Iterator[str]:
    """Yield what METADATA lacks or says wrongly."""
    if not label.startswith(f"{canonicalize_name(name)}-"):
        yield f"METADATA says that its name is {name!r}"
    bounds = []
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            yield f"Requires-Dist {text!r}: {error}"
            continue
        if canonicalize_name(requirement.name) == CORE:
            bounds.append(str(requirement.specifier))
    if not bounds:
        yield f"does not require {CORE}; say Requires-Dist: {CORE}~=X.Y"
    elif not any(bounds):
        yield f"requires any version of {CORE}; bound it"


def file_faults(info: str, files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield files that would run without being asked for, or land where they should not."""
    packages = {name.partition("/")[0] for name in files if name.endswith("/__init__.py")}
    for name in sorted(files):
        parts = PurePosixPath(name).parts
        if name.startswith(f"{info}/"):
            continue
        if parts[0].endswith(".data"):
            yield f"{name}: is put outside its package when it is installed"
        elif name.endswith(".pth") or parts[-1] in ("sitecustomize.py", "usercustomize.py"):
            yield f"{name}: runs whenever Python starts"
        elif name.endswith((".pyc", ".pyo")):
            yield f"{name}: is compiled code without a source to review"
        elif len(parts) == 1:
            yield f"{name}: is a module of its own; a plugin is one regular package"
        elif parts[0] not in packages:
            yield f"{name}: is in no regular package (no {parts[0]}/__init__.py)"
    yield from (
        f"{one}: has no py.typed" for one in sorted(packages) if f"{one}/py.typed" not in files
    )


def entry_point_faults(text: bytes, files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield what is wrong with the entry points."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(text.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        yield f"entry_points.txt: {' '.join(str(error).split())}"
        return
    if not parser.has_section(ENTRY_POINT_GROUP):
        yield f"offers no entry point of group {ENTRY_POINT_GROUP}"
        return
    for name, value in parser.items(ENTRY_POINT_GROUP):
        module = value.partition(":")[0].strip().replace(".", "/")
        if not {f"{module}.py", f"{module}/__init__.py"} & files.keys():
            yield f"entry point {name}: {value} is not in the wheel"
