"""The settings of ``lustre.targets``."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from emf_plugins_lustre.packaged_defaults import from_environment

__all__ = ["TargetSettings"]


class TargetSettings(BaseModel):
    """``[plugin."lustre.targets"]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lctl_allow: tuple[str, ...] = ()
    """Commands of ``lctl`` allowed beside those that only read: ``"set_param obdfilter.*"``;
    ``"*"`` allows all."""
    ldev_conf: Path = Field(
        default_factory=from_environment("LDEV_CONF_PATH", otherwise="/etc/ldev.conf"),
        validate_default=True,
    )

    @field_validator("lctl_allow")
    @classmethod
    def must_have_words(cls, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse an allowance without a word: it would look like one and allow nothing."""
        for entry in allowed:
            if not entry.split():
                raise ValueError('an allowance is empty; name a command, as in "set_param"')
        return allowed
