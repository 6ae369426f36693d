"""The chain of the audit trail: what a line's digest covers, and where a trail was changed (R18).

Both sides use it: the manager when it appends, an operator's program when it checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields

from emf_manager.records import UNSTORABLE, AuditEntry, NewAudit

__all__ = ["FIRST_DIGEST", "broken_links", "digest"]

FIRST_DIGEST = "0" * 64


def digest(previous: str, number: int, entry: NewAudit) -> str:
    """Return a line's digest (SHA-256, hex): over the digest before it, its number, all of it."""
    line = {field.name: storable(getattr(entry, field.name)) for field in fields(entry)}
    text = json.dumps([previous, number, line], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def broken_links(trail: Iterable[AuditEntry], *, length: int = 0) -> tuple[int, ...]:
    """Return the numbers at which a whole audit trail was edited, cut or reordered.

    ``length`` is how many lines it has to have at least: what was cut off its end is named by the
    first number that is missing.
    """
    broken: list[int] = []
    number, last = 0, FIRST_DIGEST
    for link in trail:
        if link.sequence != number + 1 or link.digest != digest(last, number + 1, link.entry):
            broken.append(link.sequence)
        number, last = link.sequence, link.digest
    if number < length:
        broken.append(number + 1)
    return tuple(broken)


def storable(value: object) -> object:
    """Return the value as it is read back: the digest covers what the table can hold."""
    return value.translate(UNSTORABLE) if isinstance(value, str) else value
