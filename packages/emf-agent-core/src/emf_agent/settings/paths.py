"""Where the agent's files are: the FHS on a node, or everything under one folder without root."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["Paths"]


@dataclass(frozen=True)
class Paths:
    """The files and folders of one agent (conventions: files on a node)."""

    config: Path
    """The main configuration file; need not exist unless it was named by a flag."""
    allowlist: Path
    lock: Path
    tls: Path
    """The folder of ``agent.key``, ``agent.crt`` and ``ca.crt``."""
    state: Path
    """What must survive a restart: the journal, the plugins' own state."""
    runtime: Path
    """What must not: sockets, process ids."""
    code_cache: Path
    """Compiled code by content, for the closed world."""

    @property
    def drop_ins(self) -> Path:
        """Return the folder whose ``*.toml`` are read after the main file, in lexical order."""
        return self.config.parent / "conf.d"

    @property
    def signature(self) -> Path:
        """Return the detached signature of the lock."""
        return self.lock.with_name(f"{self.lock.name}.sig")

    @classmethod
    def system(cls) -> Paths:
        """Return the places of an installed agent."""
        return cls.of(
            Path("/etc/emf-agent"),
            state=Path("/var/lib/emf-agent"),
            runtime=Path("/run/emf-agent"),
            code_cache=Path("/var/cache/emf-agent/code"),
        )

    @classmethod
    def under(cls, folder: Path) -> Paths:
        """Return the places of an agent that lives in one folder: ``--state-dir``."""
        folder = folder.absolute()
        return cls.of(
            folder / "etc",
            state=folder / "lib",
            runtime=folder / "run",
            code_cache=folder / "cache" / "code",
        )

    @classmethod
    def of(cls, etc: Path, *, state: Path, runtime: Path, code_cache: Path) -> Paths:
        """Return the places, given the configuration's folder and the three others."""
        return cls(
            config=etc / "agent.toml",
            allowlist=etc / "allowlist.toml",
            lock=etc / "allowlist.lock",
            tls=etc / "tls",
            state=state,
            runtime=runtime,
            code_cache=code_cache,
        )

    def with_config(self, config: Path) -> Paths:
        """Return them with another main file; the allowlist stays where root put it."""
        return replace(self, config=config.absolute())
