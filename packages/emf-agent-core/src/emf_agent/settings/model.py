"""The settings as values: names, types, bounds and defaults, each with what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PrivateAttr,
    model_validator,
)
from typing_extensions import Self

from emf_agent.settings.paths import Paths

__all__ = ["ArgumentRule", "Pace", "PolicySettings", "Settings"]


def secure_url(url: str) -> str:
    """Accept an https address; there is no switch that turns verification off (R7)."""
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(f"is no address: {error}") from None
    if parts.scheme != "https" or not parts.hostname or not port_fits:
        raise ValueError("must be an address like https://manager.example.com:7443")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold no user, password, query or fragment")
    return url.rstrip("/")


Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Bytes = Annotated[int, Field(ge=1024, le=2**40)]
Name = Annotated[str, Field(min_length=1, max_length=255)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$")]


class Section(BaseModel):
    """A table of the configuration: frozen, and a key it does not know is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ManagerSettings(Section):
    """The manager this agent belongs to."""

    url: Annotated[str, AfterValidator(secure_url)] | None = Field(
        None, description="Address of the manager; `emf-agent enroll` writes it."
    )


class NodeSettings(Section):
    """This node."""

    fqdn: HostName | None = Field(
        None, description="Full name of the node; found from the host name where unset."
    )


class TlsSettings(Section):
    """The identity; where unset, the files in the folder `tls` beside the configuration."""

    key: Path | None = Field(None, description="Private key, mode 0600.")
    certificate: Path | None = Field(None, description="Certificate of this node.")
    authority: Path | None = Field(None, description="Certificate of the manager's authority.")


class Pace(Section):
    """How often a daemon is asked, and how long it may take; unset leaves it to the plugin."""

    interval_s: Seconds | None = Field(None, description="Seconds between two updates.")
    deadline_s: Seconds | None = Field(None, description="Seconds one update may take.")
    start_deadline_s: Seconds | None = Field(None, description="Seconds a start may take.")


class ActionSettings(Section):
    """What bounds all actions of the node."""

    concurrent: Count = Field(32, description="Actions that run at once.")
    waiting: Count = Field(1000, description="Accepted actions that have not ended.")
    default_timeout_s: Seconds = Field(600.0, description="For actions that declare none.")
    result_bytes: Bytes = Field(1024 * 1024, description="A longer result is cut.")


class BackoffSettings(Section):
    """Pauses after failures: a random part of a ceiling that doubles."""

    first_s: Seconds = Field(1.0, description="Ceiling of the first pause.")
    cap_s: Seconds = Field(60.0, description="Ceiling of every pause.")
    floor_s: Seconds = Field(0.1, description="No pause is shorter.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.floor_s <= self.cap_s or not self.first_s <= self.cap_s:
            raise ValueError("cap_s must be at least first_s and floor_s")
        return self


class QuarantineSettings(Section):
    """Pauses of a daemon that overruns its deadline again and again."""

    after: Count = Field(3, description="Overruns in a row until the first pause.")
    first_s: Seconds = Field(30.0, description="The first pause; the next ones double.")
    cap_s: Seconds = Field(600.0, description="No pause is longer.")


class SessionSettings(Section):
    """The waits of sessions."""

    answer_within_s: Seconds = Field(30.0, description="Unanswered by then, it is asked again.")
    between_sessions_s: Seconds = Field(5.0, description="Least time between two sessions.")


class OutboxSettings(Section):
    """What may wait to be sent."""

    events: Count = Field(1000, description="Events that wait in one session.")
    event_bytes: Bytes = Field(4 * 1024 * 1024, description="Bytes of events in one session.")
    envelope_bytes: Bytes = Field(1024 * 1024, description="A post is closed at this size.")
    message_bytes: Annotated[int, Field(ge=1024, le=7 * 1024 * 1024)] = Field(
        7 * 1024 * 1024, description="A larger message is refused here; the manager takes 8 MiB."
    )


class JournalSettings(Section):
    """What the record of actions may take of the disk."""

    size_bytes: Bytes = Field(256 * 1024 * 1024, description="Above it no new action is taken.")
    events_bytes: Bytes = Field(8 * 1024 * 1024, description="Stored events of one daemon.")
    floor_bytes: Annotated[int, Field(ge=0, le=2**40)] = Field(
        64 * 1024 * 1024, description="Free space below which no new action is taken."
    )
    floor_fraction: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = Field(
        0.02, description="The same as a part of a small file system; the smaller floor counts."
    )


class ArgumentRule(Section):
    """What one argument of some actions may be here, whatever the manager asks."""

    action: Name = Field(description="Name or glob of the actions.")
    argument: Name = Field(description="Name of the parameter.")
    allow: tuple[Name, ...] = Field(("*",), description="Globs, one of which it must match.")
    deny: tuple[Name, ...] = Field((), description="Globs, none of which it may match.")


class PolicySettings(Section):
    """The node's own say over actions, which no manager can override."""

    allow: tuple[Name, ...] = Field(("*",), description="Names or globs of actions that may run.")
    deny: tuple[Name, ...] = Field((), description="Names or globs that never run; wins.")
    read_only: bool = Field(
        default=False,
        description="Only actions run that say they change nothing, and those of `readers`.",
    )
    readers: tuple[Name, ...] = Field(
        (), description="Further names or globs of actions that change nothing here."
    )
    rule: tuple[ArgumentRule, ...] = Field((), description="Rules on single arguments.")


class LogSettings(Section):
    """The log."""

    level: Literal["debug", "info", "warning", "error"] = Field("info")
    format: Literal["auto", "text", "json", "journal"] = Field(
        "auto", description="auto: the journal under systemd, text on a terminal."
    )


class Settings(Section):
    """Everything that can be set; made by ``load_settings`` only."""

    manager: ManagerSettings = ManagerSettings()
    node: NodeSettings = NodeSettings()
    tls: TlsSettings = TlsSettings()
    daemons: Pace = Pace()
    daemon: dict[Name, Pace] = Field(default_factory=dict)
    actions: ActionSettings = ActionSettings()
    backoff: BackoffSettings = BackoffSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    sessions: SessionSettings = SessionSettings()
    outbox: OutboxSettings = OutboxSettings()
    journal: JournalSettings = JournalSettings()
    policy: PolicySettings = PolicySettings()
    log: LogSettings = LogSettings()
    plugin: dict[Name, dict[str, JsonValue]] = Field(default_factory=dict)

    _paths: Paths = PrivateAttr(default_factory=Paths.system)
    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @property
    def paths(self) -> Paths:
        """Return where the files are."""
        return self._paths

    @property
    def key_path(self) -> Path:
        """Return the private key."""
        return self.tls.key or self._paths.tls / "agent.key"

    @property
    def certificate_path(self) -> Path:
        """Return the node's certificate."""
        return self.tls.certificate or self._paths.tls / "agent.crt"

    @property
    def authority_path(self) -> Path:
        """Return the manager's authority."""
        return self.tls.authority or self._paths.tls / "ca.crt"

    def origin(self, key: str) -> str:
        """Return who set a dotted key: a file, a variable, a flag, or ``default``."""
        return self._origins.get(key, "default")

    def placed(self, paths: Paths, origins: Mapping[str, str]) -> Settings:
        """Return them with the places and origins they were loaded from."""
        copy = self.model_copy()
        copy._paths = paths
        copy._origins = dict(origins)
        return copy

    def pace(self, daemon: str) -> dict[str, float]:
        """Return what is set for one daemon: its own table, then ``[daemons]``."""
        own = self.daemon.get(daemon, Pace())
        return {
            **self.daemons.model_dump(exclude_none=True),
            **own.model_dump(exclude_none=True),
        }
