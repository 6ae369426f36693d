"""The settings of ``lustre.stratagem``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from emf_plugins_lustre.mailboxes.connection import ManagerConnection
from emf_plugins_lustre.packaged_defaults import from_environment

__all__ = ["StratagemSettings"]


class StratagemSettings(BaseModel):
    """``[plugin."lustre.stratagem"]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scan_folder: Path = Path("/var/tmp")  # noqa: S108 - only private folders are made in it
    """Where scans leave their lists of FIDs, in folders that only root can read."""
    keep_scans_s: Annotated[float, Field(ge=0)] = 2 * 24 * 3600.0
    """A scan's lists are removed by a later scan when they are older than this."""
    files_at_once: Annotated[int, Field(ge=1, le=64)] = 10
    """Files that are mirrored or copied at the same time."""
    large_file_bytes: Annotated[int, Field(ge=0)] = 1024**3
    """Larger files, and folders, are copied in parallel by MPI processes."""
    mpi_folder: Path = Field(
        default_factory=from_environment("OPENMPI_PATH", otherwise="/usr/lib64/openmpi/bin"),
        validate_default=True,
    )
    mpi_processes: Annotated[int, Field(ge=1)] = Field(
        default_factory=from_environment("OPENMPI_COUNT", otherwise="4"), validate_default=True
    )
    mpi_hosts: Path = Path("/etc/iml/filesync-hostfile")
    patience_s: Annotated[float, Field(ge=0)] = 300.0
    """How long lines wait for a manager that is away, before an action fails."""
    manager: ManagerConnection = Field(default_factory=dict, validate_default=True)
