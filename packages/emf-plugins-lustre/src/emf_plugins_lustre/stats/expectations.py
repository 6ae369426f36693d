"""What a node of a role must show: "I ran and found nothing" is a fault where something must be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from emf_plugins_lustre.stats.node import mounted_clients, mounted_targets
from emf_plugins_lustre.stats.records import Record
from emf_plugins_lustre.stats.settings import Role

__all__ = ["unmet_expectations"]

_KINDS = {"mgs": "mgt", "mds": "mdt", "oss": "ost", "client": "client"}
_WORDS = {"mgs": "MGT", "mds": "MDT", "oss": "OST", "client": "client mount"}


def unmet_expectations(
    records: Iterable[Record], roles: Sequence[Role], mounts: str
) -> Collection[str]:
    """Return what is missing, as sentences; empty where all is as it must be.

    ``roles`` are those configured; without any, the targets and clients that ``mounts`` (the
    text of ``/proc/mounts``) shows are expected by name.
    """
    kinds = set()
    targets = set()
    for record in records:
        if record.target is not None:
            kinds.add(record.kind)
            targets.add(record.target)
    missing = [
        f"no {_WORDS[role]} found, although this node is configured as {role}"
        for role in roles
        if _KINDS[role] not in kinds
    ]
    lost = sorted(mounted_targets(mounts) - targets)
    if lost:
        missing.append(f"{', '.join(lost)} mounted here, but without a single parameter")
    if not roles and mounted_clients(mounts) and "client" not in kinds:
        missing.append("a Lustre client is mounted here, but has no statistics")
    return missing
