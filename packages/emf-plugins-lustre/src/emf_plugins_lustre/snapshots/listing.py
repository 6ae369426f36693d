"""List the snapshots of a target: name, times, comment, own file system, mounted or not."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone

import anyio
from pydantic import BaseModel, ConfigDict

from emf_agent.errors import EmfError
from emf_plugins_lustre.lctl import lctl, local_mdt0_targets
from emf_plugins_lustre.mounts import list_mounts, snapshot_mounts
from emf_plugins_lustre.names import file_system_of_target
from emf_plugins_lustre.surveys import Survey

__all__ = ["ListedSnapshot", "Snapshot", "parse_snapshots", "survey_snapshots"]

LINE = re.compile(r"(\S+) (\d{1,11}) (\d{1,11})(?: (.*))?")


class Snapshot(BaseModel):
    """A snapshot as the manager gets it."""

    model_config = ConfigDict(frozen=True)

    filesystem_name: str
    snapshot_name: str
    snapshot_fsname: str
    modify_time: datetime
    create_time: datetime
    mounted: bool
    comment: str | None


@dataclass(frozen=True)
class ListedSnapshot:
    """One line of ``lctl snapshot -l``."""

    name: str
    create_time: datetime
    modify_time: datetime
    comment: str | None


def parse_snapshots(text: str) -> tuple[ListedSnapshot, ...]:
    """Read ``name create_time modify_time [comment]`` lines; those that do not fit are skipped."""
    return tuple(
        ListedSnapshot(match[1], moment(match[2]), moment(match[3]), match[4] or None)
        for match in map(LINE.fullmatch, text.splitlines())
        if match is not None
    )


def moment(seconds: str) -> datetime:
    """Return the UTC time of seconds since the epoch."""
    return datetime.fromtimestamp(int(seconds), timezone.utc)


async def survey_snapshots() -> Survey[tuple[Snapshot, ...]]:
    """List the snapshots of each file system whose first MDT is served here."""
    mounts = snapshot_mounts(await list_mounts())
    served_snapshots = {name for mount in mounts if (name := mount.option("svname"))}
    mounted = {file_system_of_target(name) for name in served_snapshots}
    targets = [name for name in await local_mdt0_targets() if name not in served_snapshots]
    found: dict[str, tuple[Snapshot, ...]] = {}
    failed: dict[str, str] = {}

    async def one(target: str) -> None:
        try:
            found[file_system_of_target(target)] = await snapshots_of(target, mounted)
        except EmfError as error:
            failed[file_system_of_target(target)] = str(error)

    async with anyio.create_task_group() as tasks:
        for target in targets:
            tasks.start_soon(one, target)
    return Survey(found, failed)


async def snapshots_of(target: str, mounted: Collection[str]) -> tuple[Snapshot, ...]:
    """Return a target's snapshots in the order of the listing; those without a label are none."""
    listed = await lctl("--device", target, "snapshot", "-l")
    snapshots = []
    for one in parse_snapshots(listed.stdout.text):
        answer = await lctl("--device", target, "snapshot", "--get_label", one.name)
        label = answer.stdout.text.strip()
        if "-" not in label:
            continue
        own_name = file_system_of_target(label)
        snapshots.append(
            Snapshot(
                filesystem_name=file_system_of_target(target),
                snapshot_name=one.name,
                snapshot_fsname=own_name,
                modify_time=one.modify_time,
                create_time=one.create_time,
                mounted=own_name in mounted,
                comment=one.comment,
            )
        )
    return tuple(snapshots)
