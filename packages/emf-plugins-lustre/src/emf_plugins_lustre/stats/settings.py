"""The settings of ``lustre.stats``: its own table of the configuration, all with defaults."""

from __future__ import annotations

import difflib
import ipaddress
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from emf_plugins_lustre.stats.job_selection import JobCriteria, Rank
from emf_plugins_lustre.stats.parameters import GROUPS

__all__ = ["JobSettings", "ListenAddress", "Role", "StatsSettings", "parse_listen"]

Role = Literal["mgs", "mds", "oss", "client"]
ListenAddress = tuple[Literal["tcp"], str, int] | tuple[Literal["unix"], str, int]


def parse_listen(text: str) -> ListenAddress:
    """Return where to listen: ``127.0.0.1:32221``, ``[::1]:32221`` or ``unix:/path``.

    Raises ValueError where it is neither a loopback address nor an absolute path: the metrics
    name users and jobs and are served without asking who reads them.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f"{text!r}: a socket's path must be absolute, as in unix:/run/x.sock")
        return "unix", path, 0
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError:
        raise ValueError(f"{text!r}: give ADDRESS:PORT or unix:/path") from None
    if not address.is_loopback:
        raise ValueError(
            f"{text!r} is not a loopback address; listen on 127.0.0.1 or a unix socket and let a"
            " proxy that knows its readers serve it further"
        )
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{text!r}: {port!r} is no port")
    return "tcp", str(address), int(port)


class Table(BaseModel):
    """A table that does not take unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JobSettings(Table):
    """Which jobs go on; patterns are searched for in the job's id."""

    include: str | None = None
    exclude: str | None = None
    least_operations: Annotated[int, Field(ge=0)] = 0
    top: Annotated[int, Field(ge=1)] | None = None
    """The busiest jobs of each target; None is all of them."""
    rank: Rank = "operations"
    skip_zero_rows: bool | None = None
    """Leave out operations without a sample; None: not in compat mode, elsewhere yes."""

    @field_validator("include", "exclude")
    @classmethod
    def must_be_a_pattern(cls, text: str | None) -> str | None:
        """Refuse what is no regular expression."""
        if text is not None:
            try:
                re.compile(text)
            except re.error as exc:
                raise ValueError(f"{text!r} is no regular expression: {exc}") from exc
        return text

    def criteria(self, most: int | None = None) -> JobCriteria:
        """Return what a job must be; ``most`` bounds ``top`` from above."""
        tops = [top for top in (self.top, most) if top is not None]
        return JobCriteria(
            include=re.compile(self.include) if self.include is not None else None,
            exclude=re.compile(self.exclude) if self.exclude is not None else None,
            least_operations=self.least_operations,
            top=min(tops) if tops else None,
            rank=self.rank,
        )


class StatsSettings(Table):
    """``[plugin."lustre.stats"]``."""

    expect: tuple[Role, ...] = ()
    """The roles of this node; empty: what is mounted tells. A role whose targets cannot be
    found is a fault."""
    groups: tuple[str, ...] | None = None
    """Which groups of parameters are read; None is all."""
    extended: bool = True
    """Read what the field's exporter does not: clients of OSTs, evictions, imports, RPCs."""
    lnet: bool = True
    lnet_peers: bool = False
    """Read ``lnetctl peer show`` as well: one entry for each client and server."""
    shape: Literal["full", "ancestor"] = "full"
    """``full``: every record, with units. ``ancestor``: only what an older manager decodes."""
    jobs: bool = True
    """Send job statistics to the manager."""
    sent_jobs: Annotated[int, Field(ge=1)] = 100
    """Most jobs of a target sent to the manager, the busiest first."""
    sent_exports: Annotated[int, Field(ge=0)] = 100
    """Most exports of a target sent to the manager with their statistics, the busiest."""
    sent_quota_ids: Annotated[int, Field(ge=0)] = 1000
    """Most ids of a quota index sent to the manager, the heaviest."""
    job: JobSettings = JobSettings()
    command_timeout_s: Annotated[float, Field(gt=0, le=25)] = 20.0
    listen: str | None = None
    """Serve Prometheus here: ``127.0.0.1:32221`` or ``unix:/run/emf-agent/lustre.sock``."""
    metrics_mode: Literal["compat", "native"] = "compat"
    cache_s: Annotated[float, Field(ge=0)] = 5.0
    """How long one reading answers further scrapes."""
    scrape_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    scrapes_at_once: Annotated[int, Field(ge=1)] = 10
    allow_reset: bool = False
    """Let ``?reset_mdt_md_stats=true`` reset the counters of MDTs, as the exporter does."""

    @field_validator("groups")
    @classmethod
    def must_be_groups(cls, groups: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Refuse a group nobody knows, and guess which one was meant."""
        for group in groups or ():
            if group not in GROUPS:
                close = difflib.get_close_matches(group, GROUPS, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise ValueError(f"no group {group!r} (there are {', '.join(GROUPS)}){hint}")
        return groups

    @field_validator("listen")
    @classmethod
    def must_be_near(cls, listen: str | None) -> str | None:
        """Refuse an address that others can reach."""
        if listen is not None:
            parse_listen(listen)
        return listen
