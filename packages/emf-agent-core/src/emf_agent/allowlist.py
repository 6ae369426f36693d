"""The static allowlist as values: which entry point may run, whose it is, what it may claim.

Pure: text in, frozen values out. Who may own the file is judged by ``ownership``; what is installed
is compared by ``discovery``. Written by people and configuration management, never by the manager
(security design, section 3.4).
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from emf_agent.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["SCHEMA", "Allowlist", "Rule", "covers", "parse_allowlist"]

SCHEMA = 1
GROUP = "emf_agent.plugins"
FILE_BYTES = 1024 * 1024

ENTRY_VALUE = re.compile(
    r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?$", re.ASCII
)
CLAIM = re.compile(r"^([A-Za-z0-9_-]+\.)*[A-Za-z0-9_*?-]+$", re.ASCII)


def distribution_name(name: str) -> str:
    """Return the normal form of a distribution's name (PEP 503)."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", name, re.ASCII):
        raise ValueError("is no name of a distribution")
    return str(canonicalize_name(name))


def version_range(text: str) -> str:
    """Accept a PEP 440 range; empty admits every version."""
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(f"is no version range like '>=1.4,<2': {error}") from None
    return text


def claim(text: str) -> str:
    """Accept a name, or a glob whose wildcards stand in the last part only."""
    if not CLAIM.match(text):
        raise ValueError("must be a name, or have its * and ? in the last part: 'lustre.*'")
    return text


class Table(BaseModel):
    """A table of the file: frozen, strict, and a key it does not know is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Claim = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(claim)]
EntryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=128)]


class Rule(Table):
    """One entry point that may run, under these conditions."""

    id: EntryName
    """Name of the plugin in sessions, logs, metrics, permissions and its own settings table."""
    distribution: Annotated[str, AfterValidator(distribution_name)]
    entry_point: tuple[Literal["emf_agent.plugins"], EntryName, str]
    """Group, name and value, all three as the distribution's metadata must have them."""
    version: Annotated[str, AfterValidator(version_range)] = ""
    actions: tuple[Claim, ...] = ()
    """Ceiling on the action names it may register; none where left out."""
    daemons: tuple[Claim, ...] = ()
    enabled: bool = True
    required: bool = False
    """Where it does not load, the agent does not start (exit 78)."""

    @field_validator("entry_point")
    @classmethod
    def _importable(cls, value: tuple[str, str, str]) -> tuple[str, str, str]:
        if not ENTRY_VALUE.match(value[2]) or len(value[2]) > 255:
            raise ValueError("its third part must be like 'package.module' or 'package:object'")
        return value

    @property
    def name(self) -> str:
        """Return the entry point's name."""
        return self.entry_point[1]

    @property
    def value(self) -> str:
        """Return the entry point's value: what is imported."""
        return self.entry_point[2]

    def admits(self, version: str) -> bool:
        """Tell whether an installed version is in the range; pre-releases count as themselves."""
        try:
            return SpecifierSet(self.version).contains(Version(version), prereleases=True)
        except InvalidVersion:
            return not self.version

    def unclaimable(self, actions: tuple[str, ...], daemons: tuple[str, ...]) -> list[str]:
        """Return what lies above the ceiling, as ``action NAME`` and ``daemon NAME``."""
        return [
            f"{kind} {name}"
            for kind, names, ceiling in (
                ("action", actions, self.actions),
                ("daemon", daemons, self.daemons),
            )
            for name in names
            if not covers(ceiling, name)
        ]


class Allowlist(Table):
    """The whole file."""

    schema_number: Annotated[int, Field(alias="schema")]
    mode: Literal["enforce", "allowlist", "development"] = "enforce"
    """``enforce``: the closed world of the lock. ``allowlist`` (for development and demos, also
    written ``development``): judged from metadata only."""
    require_signature: bool = False
    """The lock must be signed by a key of ``lock_signers``, the file beside it."""
    plugin: tuple[Rule, ...] = ()

    @property
    def enforced(self) -> bool:
        """Tell whether only the closed world will do."""
        return self.mode == "enforce"

    def rule(self, name: str) -> Rule | None:
        """Return the rule of a plugin by its id, or by its entry point's name."""
        for rule in self.plugin:
            if name in (rule.id, rule.name):
                return rule
        return None


def covers(ceiling: tuple[str, ...], name: str) -> bool:
    """Tell whether a name lies under one of the globs.

    ``*`` alone admits everything; otherwise the wildcards stand for one part between dots.
    """
    head, _, last = name.rpartition(".")
    for pattern in ceiling:
        if pattern == "*":
            return True
        pattern_head, _, pattern_last = pattern.rpartition(".")
        if pattern_head == head and fnmatchcase(last, pattern_last):
            return True
    return False


def parse_allowlist(text: bytes, origin: str) -> Allowlist:
    """Read the file's text; ``origin`` names it in faults.

    Raises:
        ConfigurationError: with every fault, each with its key and what to do.

    """
    if len(text) > FILE_BYTES:
        raise ConfigurationError([f"{origin}: is larger than {FILE_BYTES} bytes"])
    try:
        tables = tomllib.loads(text.decode("utf-8"))
        written = json.dumps(tables, default=str)
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{origin}: is not UTF-8 text: byte {error.start}"]) from None
    except RecursionError:
        raise ConfigurationError([f"{origin}: is nested too deeply"]) from None
    except ValueError as error:
        raise ConfigurationError([f"{origin}: not valid TOML: {error}"]) from None
    number = tables.get("schema")
    if number != SCHEMA or isinstance(number, bool):
        raise ConfigurationError(
            [f"{origin}: schema: must be {SCHEMA}, which this version of the agent reads"]
        )
    try:
        allowlist = Allowlist.model_validate_json(written)
    except ValidationError as error:
        raise ConfigurationError(
            [fault_of(one, tables, origin) for one in error.errors()]
        ) from None
    faults = [f"{origin}: {fault}" for fault in conflicts(allowlist)]
    if faults:
        raise ConfigurationError(faults)
    return allowlist


def conflicts(allowlist: Allowlist) -> list[str]:
    """Return what two rules claim at once, and what contradicts itself."""
    found = []
    for what, names in (
        ("id", [rule.id for rule in allowlist.plugin]),
        ("entry point", [rule.name for rule in allowlist.plugin]),
    ):
        found += [
            f"plugin: {what} {name!r} stands in {names.count(name)} tables; keep one"
            for name in sorted(set(names))
            if names.count(name) > 1
        ]
    found += [
        f"plugin {rule.id!r}: is required and not enabled; it cannot be both"
        for rule in allowlist.plugin
        if rule.required and not rule.enabled
    ]
    return found


def fault_of(error: Any, tables: Mapping[str, Any], origin: str) -> str:
    """Say one fault with the plugin it belongs to."""
    parts: list[str] = []
    for part in error["loc"]:
        if isinstance(part, int) and parts == ["plugin"]:
            parts = [f"plugin {plugin_id(tables, part)}"]
        else:
            parts.append(str(part))
    key = ".".join(parts)
    if error["type"] == "extra_forbidden":
        shape = Allowlist if len(error["loc"]) == 1 else Rule
        known = [field.alias or name for name, field in shape.model_fields.items()]
        near = difflib.get_close_matches(parts[-1], known, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{origin}: {key}: no such key; {advice}"
    said = error["msg"].removeprefix("Value error, ")
    return f"{origin}: {key}: {said[0].lower()}{said[1:]}"


def plugin_id(tables: Mapping[str, Any], index: int) -> str:
    """Return how to name a table in a fault: its id, or its place."""
    plugins = tables.get("plugin")
    table = plugins[index] if isinstance(plugins, list) and index < len(plugins) else None
    named = table.get("id") if isinstance(table, dict) else None
    return repr(named[:64]) if isinstance(named, str) else f"number {index + 1}"
