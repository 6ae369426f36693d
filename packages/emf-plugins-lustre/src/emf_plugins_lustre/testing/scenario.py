"""Scenarios: what a simulated node has, as TOML; those of each role ship with the package."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["ROLES", "Scenario", "SimulatedFile", "SimulatedMount", "SimulatedTarget"]

ROLES = ("mgs", "mds", "oss", "client", "combined")


class Part(BaseModel):
    """A part of a scenario; a key nobody knows is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SimulatedTarget(Part):
    """A target that the node serves."""

    kind: Literal["MGT", "MDT", "OST"]
    osd: Literal["ldiskfs", "zfs"] = "ldiskfs"
    kbytes_total: Annotated[int, Field(ge=1)] = 10_000_000_000
    files_total: Annotated[int, Field(ge=1)] = 400_000_000
    clients: tuple[str, ...] = ()


class SimulatedMount(Part):
    """A client's mount."""

    source: str
    target: str
    fstype: str = "lustre"
    options: str = "rw,lazystatfs"


class SimulatedFile(Part):
    """A file of a file system, known by its FID."""

    path: str
    size: int = 4096
    groups: tuple[str, ...] = ()
    """Groups of a scan that list it."""
    mirrors: tuple[str, ...] = ()
    stale: bool = False
    busy: bool = False
    """It cannot be removed."""


class Scenario(Part):
    """A node, and the cluster that it brings where it is the first one of it."""

    nids: tuple[str, ...] = ("10.0.0.1@tcp",)
    version: str = "2.15.5"
    jobs: tuple[str, ...] = ()
    targets: dict[str, SimulatedTarget] = Field(default_factory=dict)
    mounts: tuple[SimulatedMount, ...] = ()
    osts: dict[str, tuple[str, ...]] = Field(
        default_factory=lambda: {"fs1": tuple(f"fs1-OST{index:04x}" for index in range(4))}
    )
    """All OSTs of each file system, wherever they are served."""
    files: dict[str, dict[str, SimulatedFile]] = Field(default_factory=dict)

    @classmethod
    def of_role(cls, role: str) -> Scenario:
        """Return the scenario that ships for a role; raises ValueError for one that has none."""
        if role not in ROLES:
            raise ValueError(f"no scenario {role!r}; there are {', '.join(ROLES)}")
        shipped = files("emf_plugins_lustre.testing") / "scenarios" / f"{role}.toml"
        return cls.model_validate(tomllib.loads(shipped.read_text("utf-8")))

    @classmethod
    def of_file(cls, path: Path) -> Scenario:
        """Read a scenario of one's own; raises ValueError with every fault of it."""
        return cls.model_validate(tomllib.loads(path.read_text("utf-8")))

    def node(self) -> dict[str, Any]:
        """Return the node's part of the state."""
        plain = self.model_dump(mode="json", exclude={"osts", "files"})
        return {**plain, "settings": {}, "resets": {}, "failures": []}

    def cluster(self, born: float) -> dict[str, Any]:
        """Return the cluster's part of the state."""
        plain = self.model_dump(mode="json", include={"osts", "files"})
        empty: dict[str, Any] = {"pools": {}, "snapshots": {}, "failed_targets": {}}
        return {**plain, **empty, "born": born, "ahead_s": 0.0}
