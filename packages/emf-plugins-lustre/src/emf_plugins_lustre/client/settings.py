"""The settings of ``lustre.client``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ClientSettings"]


class ClientSettings(BaseModel):
    """``[plugin."lustre.client"]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fstab: Path = Path("/etc/fstab")
    mount_timeout_s: Annotated[float, Field(gt=0)] = 1200.0
    """How long one mount may take; the same as what fstab tells systemd."""
