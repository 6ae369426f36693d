"""Panels of the daemons ``ostpool`` and ``snapshot``: what each Lustre file system has of them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from emf_manager.web.panels.blocks import Block, Cell, Head, Mark, Shape, Table, cut, words

__all__ = ["pools", "snapshots"]


class Pool(Shape):
    """A pool of OSTs."""

    name: str
    osts: tuple[str, ...] = ()


class Snapshot(Shape):
    """A snapshot."""

    snapshot_name: str
    snapshot_fsname: str = ""
    create_time: str = ""
    modify_time: str = ""
    mounted: bool = False
    comment: str | None = None


POOLS: TypeAdapter[dict[str, tuple[Pool, ...]]] = TypeAdapter(dict[str, tuple[Pool, ...]])
SNAPSHOTS: TypeAdapter[dict[str, tuple[Snapshot, ...]]] = TypeAdapter(
    dict[str, tuple[Snapshot, ...]]
)
MOST_NAMED = 64


def pools(payload: Any) -> tuple[Block, ...]:
    """Return the panels; raises ValidationError where it is none of ours."""
    found = POOLS.validate_python(payload)
    heads = (Head("File system"), Head("Pool"), Head("OSTs", number=True), Head("Which"))
    rows, beyond = cut(
        (words(fs, code=True), words(one.name, code=True), words(len(one.osts)), members(one))
        for fs, listed in sorted(found.items())
        for one in listed
    )
    return (Table("OST pools", heads, rows, empty="no pool", beyond=beyond),)


def members(one: Pool) -> Cell:
    more = f" and {len(one.osts) - MOST_NAMED} more" if len(one.osts) > MOST_NAMED else ""
    return words(", ".join(one.osts[:MOST_NAMED]) + more, code=True)


def snapshots(payload: Any) -> tuple[Block, ...]:
    """Return the panels; raises ValidationError where it is none of ours."""
    found = SNAPSHOTS.validate_python(payload)
    heads = (
        Head("File system"), Head("Snapshot"), Head("State"), Head("Made"), Head("Changed"),
        Head("Mounts as"), Head("Comment"),
    )  # fmt: skip
    rows, beyond = cut(
        (
            words(fs, code=True),
            words(one.snapshot_name, code=True),
            Mark("mounted", "ok") if one.mounted else Mark("not mounted", "idle"),
            words(one.create_time),
            words(one.modify_time),
            words(one.snapshot_fsname, code=True),
            words(one.comment),
        )
        for fs, listed in sorted(found.items())
        for one in sorted(listed, key=lambda s: s.create_time, reverse=True)
    )
    return (Table("Snapshots", heads, rows, empty="no snapshot", beyond=beyond),)
