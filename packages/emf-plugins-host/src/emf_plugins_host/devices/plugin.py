"""Entry point ``host.devices``: wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pydantic import BaseModel

from emf_agent.plugin import DaemonFactory, hookimpl
from emf_plugins_host.devices.daemon import Device, DevicesSettings, Scanner

__all__ = ["emf_daemons", "emf_settings"]


@hookimpl
def emf_settings() -> type[BaseModel]:
    """Offer the devices' table in the configuration."""
    return DevicesSettings


@hookimpl
def emf_daemons(settings: DevicesSettings) -> Sequence[DaemonFactory]:
    """Offer daemon ``device``."""
    return [partial(Device, Scanner(settings))]
