"""Where settings come from: one layer for each file, the environment, the flags; later wins."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emf_agent.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "ALIASES",
    "ENVIRONMENT_PREFIX",
    "Layer",
    "Merged",
    "environment_layer",
    "file_layer",
    "merge",
    "parse_toml",
]

ENVIRONMENT_PREFIX = "EMF_AGENT_"
NOT_SETTINGS = frozenset({"EMF_AGENT_CONFIG", "EMF_AGENT_PROGRAM_PATH", "EMF_AGENT_STATE_DIR"})
"""The flags ``--config`` and ``--state-dir`` as variables, and where commands are looked up."""
ALIASES: Mapping[str, tuple[str, ...]] = {
    "IML_MANAGER_URL": ("manager", "url"),
    "EMF_MANAGER_URL": ("manager", "url"),
    "PRIVATE_PEM_PATH": ("tls", "key"),
    "CRT_PATH": ("tls", "certificate"),
    "AUTHORITY_CRT_PATH": ("tls", "authority"),
}
"""Names of the ancestor, which mean the same; the newer one of two wins."""
FILE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Layer:
    """Nested tables of one origin."""

    origin: str
    values: Mapping[str, Any]


@dataclass
class Merged:
    """All layers as one, and who set each key."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[tuple[str, ...], str] = field(default_factory=dict)

    def origin(self, path: tuple[str, ...]) -> str:
        """Return who set a key, or the nearest table around it."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, "configuration")


def parse_toml(path: Path, text: bytes) -> dict[str, Any]:
    """Read TOML within limits.

    Raises:
        ConfigurationError: with file and line.

    """
    if len(text) > FILE_BYTES:
        raise ConfigurationError([f"{path}: is larger than {FILE_BYTES} bytes"])
    try:
        return tomllib.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: is not UTF-8 text: byte {error.start}"]) from None
    except RecursionError:
        raise ConfigurationError([f"{path}: is nested too deeply"]) from None
    except ValueError as error:
        raise ConfigurationError([f"{path}: not valid TOML: {error}"]) from None


def file_layer(path: Path) -> Layer:
    """Read one file of the configuration.

    Raises:
        ConfigurationError: it cannot be read or parsed.

    """
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from error
    return Layer(str(path), parse_toml(path, text))


def environment_layer(
    environment: Mapping[str, str], wants_text: Callable[[tuple[str, ...]], bool]
) -> list[Layer]:
    """Return a layer for each variable that sets something, the ancestor's names first.

    ``wants_text`` tells whether the setting at a path is text; all else is read as JSON where it
    can be (``5``, ``true``, ``["lctl"]``). In mode ``enforce`` the local policy, the plugins'
    tables and the identity are not to be had from the environment.
    """
    paths = [(name, path) for name, path in ALIASES.items() if name in environment]
    paths += [
        (name, tuple(part.lower() for part in name[len(ENVIRONMENT_PREFIX) :].split("__")))
        for name in sorted(environment)
        if name.startswith(ENVIRONMENT_PREFIX) and name not in NOT_SETTINGS
    ]
    return [
        Layer(
            f"environment variable {name}",
            nested(path, environment[name] if wants_text(path) else value_of(environment[name])),
        )
        for name, path in paths
    ]


def value_of(text: str) -> Any:
    """Return a variable's value: JSON where it is, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return tables around one value."""
    for name in reversed(path):
        value = {name: value}
    tables: dict[str, Any] = value
    return tables


def merge(layers: list[Layer]) -> Merged:
    """Lay the layers over each other: tables are merged, everything else is replaced."""
    merged = Merged()
    for layer in layers:
        lay_over(merged, merged.values, layer.values, (), layer.origin)
    return merged


def lay_over(
    merged: Merged,
    below: dict[str, Any],
    above: Mapping[str, Any],
    path: tuple[str, ...],
    origin: str,
) -> None:
    """Merge one table into another, noting who set what."""
    for name, value in above.items():
        here = (*path, name)
        if isinstance(value, Mapping):
            if not isinstance(below.get(name), dict):
                below[name] = {}
            merged.origins.setdefault(here, origin)
            lay_over(merged, below[name], value, here, origin)
        else:
            below[name] = value
            merged.origins[here] = origin
