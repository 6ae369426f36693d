"""The tables: one schema for SQLite and PostgreSQL. A change here needs a migration beside it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import JsonValue
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.types import TypeDecorator

from emf_manager.records import UNSTORABLE

__all__ = [
    "COUNTERS",
    "HEAD",
    "METADATA",
    "alerts",
    "answers",
    "api_tokens",
    "audit",
    "certificates",
    "counters",
    "envelopes",
    "events",
    "grants",
    "groups",
    "history",
    "jobs",
    "login_codes",
    "logins",
    "nodes",
    "orphans",
    "passwords",
    "plan_steps",
    "plans",
    "sessions",
    "targets",
    "users",
    "values",
]

HEAD = "0009"
"""The newest migration; what a fresh database is stamped with."""

LARGEST = 2**63 - 1


# The dialect is an argument because SQLAlchemy passes it; both dialects get the same.


class Words(TypeDecorator[str]):
    """Text that may come from a node: NUL and lone surrogates, which no database takes, go."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.translate(UNSTORABLE)


class Json(TypeDecorator[JsonValue]):
    """A JSON value as text, escaped to ASCII; null is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else json.loads(value)


class Count(TypeDecorator[int]):
    """A number that grows; held at what 64 bits with a sign can say."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else min(value, LARGEST)


METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

counters = Table(
    "counters",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""``epoch``; the last numbers given to ``events``, ``audit`` and ``alerts``, without gaps; and
``alerts_seen``, the last event that was looked at for alerts."""

COUNTERS = ("epoch", "events", "audit", "alerts", "alerts_seen")
"""Those a new database begins with."""

nodes = Table(
    "nodes",
    METADATA,
    Column("fqdn", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("role", Text),
    Column("labels", Json, nullable=False),
    Column("enrolled", Double, nullable=False),
    Column("waiting", Boolean, nullable=False, server_default=false()),
    Column("reason", Words),
    Column("instance", Words),
    Column("superseded", Json, nullable=False),
    Column("boot_time", Words),
    Column("boot_id", Words),
    Column("protocol", Count),
    Column("agent_version", Words),
    Column("mode", Words),
    Column("catalogue_digest", Words),
    Column("journal_id", Words),
    Column("journal_sequence", Count, nullable=False),
    Column("first_contact", Double),
    Column("last_contact", Double),
)

envelopes = Table(
    "envelopes",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("node", ForeignKey("nodes.fqdn"), nullable=False),
    Column("id", Words, nullable=False),
    UniqueConstraint("node", "id"),
    Index(None, "node", "number"),
)

sessions = Table(
    "sessions",
    METADATA,
    Column("session_id", Words, primary_key=True),
    Column("node", ForeignKey("nodes.fqdn"), nullable=False),
    Column("daemon", Words, nullable=False),
    Column("instance", Words, nullable=False),
    Column("state", Text, nullable=False),
    Column("sequence", Count, nullable=False),
    Column("started", Double, nullable=False),
    Column("ended", Double),
    Column("reason", Words),
    Index(None, "node"),
    Index(None, "ended"),
)

values = Table(
    "latest_values",
    METADATA,
    Column("node", ForeignKey("nodes.fqdn"), primary_key=True),
    Column("daemon", Words, primary_key=True),
    Column("session_id", Words, nullable=False),
    Column("sequence", Count, nullable=False),
    Column("body", Json),
    Column("received", Double, nullable=False),
    Column("gap", Boolean, nullable=False),
)

history = Table(
    "history",
    METADATA,
    Column("node", ForeignKey("nodes.fqdn"), primary_key=True),
    Column("daemon", Words, primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("start", Double, primary_key=True),
    Column("until", Double, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index(None, "step", "until"),
)

jobs = Table(
    "jobs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("action", Words, nullable=False),
    Column("args", Json),
    Column("requester", Words, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("timeout_s", Double),
    Column("dry_run", Boolean, nullable=False),
    Column("idempotency_key", Words),
    Column("open_targets", Integer, nullable=False),
    Column("sealed", Text),
    Column("secret_digest", Text),
    Column("rollout", Json),
    Column("deadline", Double),
    UniqueConstraint("requester", "idempotency_key"),
    Index(None, "open_targets"),
)

targets = Table(
    "targets",
    METADATA,
    Column("action_id", Text, primary_key=True),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("node", ForeignKey("nodes.fqdn"), nullable=False),
    Column("state", Text, nullable=False),
    Column("queued", Double, nullable=False),
    Column("offered", Double),
    Column("accepted", Double),
    Column("started", Double),
    Column("fraction", Double),
    Column("message", Words),
    Column("cancel", Text),
    Column("cancel_requester", Words),
    Column("outcome", Text),
    Column("outcome_by", Text),
    Column("outcome_at", Double),
    Column("result", Json),
    Column("reason", Words),
    Column("seconds", Double),
    Column("truncated", Boolean),
    Column("batch", Integer, nullable=False, server_default="1"),
    Column("apart", Words),
    Index(None, "job_id"),
    Index(None, "node"),
)

groups = Table(
    "node_groups",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("nodes", Text, nullable=False),
    Column("changed", Double, nullable=False),
    Column("changed_by", Words, nullable=False),
)

orphans = Table(
    "orphans",
    METADATA,
    Column("node", ForeignKey("nodes.fqdn"), primary_key=True),
    Column("action_id", Words, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("outcome_by", Text, nullable=False),
    Column("outcome_at", Double, nullable=False),
    Column("result", Json),
    Column("reason", Words),
    Column("seconds", Double),
    Column("truncated", Boolean),
)

events = Table(
    "events",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("kind", Words, nullable=False),
    Column("node", Words),
    Column("body", Json),
)

audit = Table(
    "audit",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("actor", Words, nullable=False),
    Column("what", Words, nullable=False),
    Column("subject", Words),
    Column("outcome", Words, nullable=False),
    Column("detail", Json),
    Column("digest", Text, nullable=False),
)

users = Table(
    "users",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("disabled", Double),
    Column("mandates", Json),
)

api_tokens = Table(
    "api_tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("secret_sha256", Text, nullable=False, unique=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("created", Double, nullable=False),
    Column("label", Words, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
    Column("last_used", Double),
    Index(None, "user"),
)

grants = Table(
    "enrolment_grants",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("secret_sha256", Text, nullable=False, unique=True),
    Column("pattern", Text, nullable=False),
    Column("role", Text),
    Column("uses", Integer, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("created_by", Words, nullable=False),
    Column("replace", Boolean, nullable=False),
    Column("approval", Boolean, nullable=False, server_default=false()),
    Column("revoked", Double),
)

certificates = Table(
    "certificates",
    METADATA,
    Column("serial", Text, primary_key=True),
    Column("fqdn", ForeignKey("nodes.fqdn"), nullable=False),
    Column("not_before", Double, nullable=False),
    Column("not_after", Double, nullable=False),
    Column("key_sha256", Text, nullable=False),
    Column("pem", Text, nullable=False),
    Column("grant_id", ForeignKey("enrolment_grants.id")),
    Column("revoked", Double),
    Column("reason", Words),
    Index(None, "fqdn"),
    Index(None, "revoked"),
)

alerts = Table(
    "alerts",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("node", Words),
    Column("subject", Words),
    Column("severity", Text, nullable=False),
    Column("text", Words, nullable=False),
    Column("raised", Double, nullable=False),
    Column("cleared", Double),
    Column("acknowledged", Double),
    Column("acknowledged_by", Words),
    Column("note", Words),
    Index(None, "cleared"),
)

passwords = Table(
    "passwords",
    METADATA,
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), primary_key=True),
    Column("hash", Text, nullable=False),
    Column("changed", Double, nullable=False),
)

login_codes = Table(
    "login_codes",
    METADATA,
    Column("code_sha256", Text, primary_key=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("created_by", Words, nullable=False),
    Column("used", Double),
)

logins = Table(
    "logins",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("secret_sha256", Text, nullable=False, unique=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("way", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("last_used", Double, nullable=False),
    Column("token_id", Text),
    Column("peer", Words, nullable=False),
    Column("browser", Words, nullable=False),
    Index(None, "user"),
)

answers = Table(
    "answers",
    METADATA,
    Column("user", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("status", Integer),
    Column("body", Text),
    Index(None, "at"),
)
"""Of writes with an idempotency key. A user that was deleted may have some left, for a day."""

plans = Table(
    "plans",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Words, nullable=False),
    Column("requester", Text, nullable=False),
    Column("acting", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("vars", Json, nullable=False),
    Column("timeout_s", Double),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("ended", Double),
    Column("halt", Text),
    Column("reason", Words),
    Column("idempotency_key", Text),
    UniqueConstraint("requester", "idempotency_key"),
    Index(None, "state"),
)

plan_steps = Table(
    "plan_steps",
    METADATA,
    Column("plan_id", ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("job", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("job_id", Text),
    Column("reason", Words),
    Column("started", Double),
    Column("ended", Double),
)
