"""What the manager is told: where its data is, where it listens; read from flags by the CLI."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from emf_agent.errors import UsageError

__all__ = ["DEFAULT_DATA_DIR", "DEFAULT_LISTEN", "Listen", "Settings", "parse_seconds"]

DEFAULT_DATA_DIR = Path("/var/lib/emf-manager")
DEFAULT_LISTEN = "[::]:8443"
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Listen:
    """An address to listen at; port 0 is any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Read ``HOST:PORT``, ``[IPV6]:PORT`` or ``:PORT`` (every address).

        Raises:
            UsageError: it is none of these.

        """
        try:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname or "::", parts.port
        except ValueError:
            host, port = "", None
        if port is None or not host or "/" in text or "@" in text:
            raise UsageError(
                f"{text!r} is not an address to listen at; write HOST:PORT, such as 0.0.0.0:8443"
            )
        return cls(host, port)

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every address of the machine."""
        try:
            return ip_address(self.host).is_unspecified
        except ValueError:
            return False


@dataclass(frozen=True)
class Settings:
    """Everything ``serve`` and the admin commands need."""

    data_dir: Path
    listen: Listen = Listen("::", 8443)
    names: tuple[str, ...] = ()
    """Further host names and addresses for the server's certificate."""
    store: str | None = None
    """SQLAlchemy URL; a SQLite file in the data directory where it is not said."""
    requests_per_s: float = 50.0
    """Of one API token, in the long run; ten seconds' worth may come at once."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies that may pass on a node's certificate."""
    lease_s: float = 60.0
    """How long a node may say nothing before it counts as silent."""
    history_s: float = 30 * 86400.0
    """How long the history of data is kept."""

    @property
    def store_url(self) -> str:
        """Where the store is."""
        from emf_manager.store.connections import sqlite_url  # late: brings SQLAlchemy

        return self.store or sqlite_url(self.database)

    @property
    def database(self) -> Path:
        """The data directory's own database."""
        return self.data_dir / "manager.db"

    @property
    def authority_dir(self) -> Path:
        """The authority's key and certificate: apart from the database (requirement R19)."""
        return self.data_dir / "authority"

    @property
    def seal_key(self) -> Path:
        """The key under which secret arguments lie in the database: apart from it (R20)."""
        return self.data_dir / "seal.key"

    @property
    def server_dir(self) -> Path:
        """The server's own key and certificate."""
        return self.data_dir / "server"

    @property
    def mailbox_dir(self) -> Path:
        """What nodes pushed into mailboxes and reports."""
        return self.data_dir / "mailboxes"

    @property
    def url_file(self) -> Path:
        """Says where the server of this data directory listens, while it runs."""
        return self.data_dir / "url"


def parse_seconds(text: str) -> float:
    """Read a duration such as ``90``, ``30s``, ``15m``, ``1h`` or ``2d``, in seconds.

    Raises:
        UsageError: it is none, or not above 0.

    """
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
    try:
        seconds = float(number) * UNITS[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e10:
        raise UsageError(f"{text!r} is not a duration; write 30s, 15m, 1h or 2d")
    return seconds
