"""Every parameter of a simulated node, as a path and what gives its text when it is asked for."""

from __future__ import annotations

from emf_plugins_lustre.testing.counters import (
    Row,
    brw_block,
    counted,
    job_block,
    stats_block,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from emf_plugins_lustre.testing.simulation import Simulation

    Path = tuple[str, ...]
    Value = Callable[[str], str]
    Entry = tuple[Path, Value]

__all__ = ["parameters"]

OST_ROWS: Sequence[Row] = (
    ("read_bytes", "bytes", 40.0, 1048576),
    ("write_bytes", "bytes", 25.0, 1048576),
    ("read", "usecs", 40.0, 900),
    ("write", "usecs", 25.0, 2200),
    ("getattr", "usecs", 3.0, 40),
    ("setattr", "usecs", 1.0, 90),
    ("punch", "usecs", 0.5, 120),
    ("sync", "usecs", 0.3, 5000),
    ("destroy", "usecs", 0.2, 300),
    ("create", "usecs", 0.4, 700),
    ("statfs", "usecs", 1.0, 8),
    ("get_info", "usecs", 0.1, 30),
    ("connect", "reqs", 0.01, 0),
    ("ping", "reqs", 0.4, 0),
)
MDT_ROWS: Sequence[Row] = (
    ("open", "usecs", 30.0, 210),
    ("close", "usecs", 30.0, 90),
    ("mknod", "usecs", 5.0, 400),
    ("link", "usecs", 0.1, 300),
    ("unlink", "usecs", 4.0, 350),
    ("mkdir", "usecs", 1.0, 500),
    ("rmdir", "usecs", 0.8, 450),
    ("rename", "usecs", 0.7, 600),
    ("getattr", "usecs", 50.0, 35),
    ("setattr", "usecs", 3.0, 80),
    ("getxattr", "usecs", 12.0, 25),
    ("statfs", "usecs", 1.0, 9),
    ("sync", "usecs", 0.1, 4000),
    ("samedir_rename", "usecs", 0.5, 600),
    ("crossdir_rename", "usecs", 0.2, 650),
)
SERVICE_ROWS: Sequence[Row] = (
    ("req_waittime", "usecs", 60.0, 30),
    ("req_qdepth", "reqs", 60.0, 0),
    ("req_active", "reqs", 60.0, 0),
    ("req_timeout", "secs", 60.0, 12),
    ("reqbuf_avail", "bufs", 120.0, 63),
    ("obd_ping", "usecs", 0.5, 20),
)
CLIENT_ROWS: Sequence[Row] = (
    ("read_bytes", "bytes", 20.0, 524288),
    ("write_bytes", "bytes", 15.0, 524288),
    ("open", "usecs", 8.0, 300),
    ("close", "usecs", 8.0, 90),
    ("getattr", "usecs", 20.0, 30),
    ("readdir", "usecs", 1.0, 400),
    ("unlink", "usecs", 0.5, 300),
)
OSD_ROWS: Sequence[Row] = (
    ("get_page", "usecs", 40.0, 60),
    ("cache_access", "pages", 900.0, 1),
    ("cache_hit", "pages", 700.0, 1),
    ("cache_miss", "pages", 200.0, 1),
)
LOCKS = {
    "contended_locks": 32,
    "contention_seconds": 2,
    "ctime_age_limit": 10,
    "early_lock_cancel": 0,
    "lock_count": 40,
    "lock_timeouts": 0,
    "lock_unused_count": 0,
    "lru_max_age": 3900000,
    "lru_size": 6400,
    "max_nolock_bytes": 0,
    "max_parallel_ast": 1024,
    "resource_count": 30,
}
MDS_SERVICES = (
    "mdt", "mdt_fld", "mdt_io", "mdt_out", "mdt_readpage", "mdt_seqm", "mdt_seqs", "mdt_setattr",
)  # fmt: skip
FILL_AFTER_S = 30 * 24 * 3600
"""After so long a target is half full, and stays so."""


def parameters(simulation: Simulation) -> Iterator[Entry]:
    """Yield every parameter, by parts of its path; host first, then target by target."""
    yield from host(simulation)
    for name, target in simulation.targets():
        if target["kind"] == "MGT":
            yield from mgs(simulation, name, target)
        elif target["kind"] == "MDT":
            yield from mdt(simulation, name, target)
        else:
            yield from ost(simulation, name, target)
    yield from services(simulation)
    yield from snapshot_targets(simulation)
    yield from clients(simulation)


def fixed(value: object) -> Value:
    """Return what always gives the same text."""
    return lambda _name: str(value)


def host(simulation: Simulation) -> Iterator[Entry]:
    """Yield the parameters of the node as a whole."""
    age_s = simulation.age_s("memused")
    memory = 80_000_000 + int(age_s * 1000) % 20_000_000
    yield ("memused",), fixed(memory)
    yield ("memused_max",), fixed(110_000_000)
    yield ("lnet_memused",), fixed(24_000_000)
    yield ("health_check",), fixed(health(simulation))
    yield ("version",), fixed(f"lustre: {simulation.node['version']}")
    yield ("jobid_var",), fixed("procname_uid")


def health(simulation: Simulation) -> str:
    """Return the health check: each failed target of this node, and the verdict."""
    failed = [name for name, _ in simulation.targets() if simulation.failed_since(name) is not None]
    if not failed:
        return "healthy"
    return "\n" + "".join(f"device {name} reported unhealthy\n" for name in failed) + "NOT HEALTHY"


def stats(simulation: Simulation, target: str | None, rows: Sequence[Row]) -> Value:
    """Return what makes a block of counters."""
    return lambda name: stats_block(simulation, name, target, rows)


def osd(simulation: Simulation, name: str, target: dict[str, Any]) -> Iterator[Entry]:
    """Yield the parameters of a target's disk file system."""
    top = (f"osd-{target['osd']}", name)
    total = target["kbytes_total"]
    used = int(total / 2 * min(1.0, 0.2 + simulation.age_s(name, name) / FILL_AFTER_S))
    files = target["files_total"]
    yield (*top, "stats"), stats(simulation, name, OSD_ROWS)
    yield (*top, "brw_stats"), lambda full: brw_block(simulation, full, name)
    yield (*top, "filesfree"), fixed(files - files // 5)
    yield (*top, "filestotal"), fixed(files)
    yield (*top, "fstype"), fixed(target["osd"])
    yield (*top, "kbytesavail"), fixed(total - used - total // 20)
    yield (*top, "kbytesfree"), fixed(total - used)
    yield (*top, "kbytestotal"), fixed(total)
    for word, title in (("user", "usr"), ("group", "grp")):
        yield (*top, "quota_slave", f"acct_{word}"), fixed(accounting(title, used, files // 5))
    yield (*top, "quota_slave", "acct_project"), fixed("not supported")


def accounting(title: str, kbytes: int, inodes: int) -> str:
    """Return the use of root and of one other user."""
    rows = "".join(
        f"- id:      {number}\n"
        f"  usage:   {{ inodes: {inodes // part:20}, kbytes: {kbytes // part:20} }}\n"
        for number, part in ((0, 20), (1337, 2))
    )
    return f"\n{title}_accounting:\n{rows}"


def exports(
    simulation: Simulation, room: str, name: str, target: dict[str, Any], rows: Sequence[Row]
) -> Iterator[Entry]:
    """Yield what is known of each client of a target."""
    yield (room, name, "num_exports"), fixed(len(target["clients"]) + 1)
    for number, nid in enumerate(target["clients"]):
        uuid = f"52cb8dca-0000-4000-8000-{number:012x}"
        yield (room, name, "exports", nid, "uuid"), fixed(uuid)
        yield (room, name, "exports", nid, "stats"), stats(simulation, name, rows[:6])
    yield (room, name, "recovery_status"), fixed(recovery(simulation, name, target))


def recovery(simulation: Simulation, name: str, target: dict[str, Any]) -> str:
    """Return a recovery that was over long ago; none for a target that failed."""
    if simulation.failed_since(name) is not None:
        return "status: INACTIVE"
    clients = len(target["clients"])
    begin = int(simulation.cluster["born"])
    return (
        f"\nstatus: COMPLETE\nrecovery_start: {begin}\nrecovery_duration: 12\n"
        f"completed_clients: {clients}/{clients}\nreplayed_requests: 0\nlast_transno: 4294967296\n"
        "VBR: DISABLED\nIR: ENABLED\n"
    )


def ost(simulation: Simulation, name: str, target: dict[str, Any]) -> Iterator[Entry]:
    """Yield the parameters of an OST."""
    top = ("obdfilter", name)
    yield (*top, "stats"), stats(simulation, name, OST_ROWS)
    yield (*top, "tot_dirty"), fixed(0)
    yield (*top, "tot_granted"), fixed(8 * 1024 * 1024 * len(target["clients"]))
    yield (*top, "tot_pending"), fixed(0)
    yield from exports(simulation, "obdfilter", name, target, OST_ROWS)
    jobs = simulation.node["jobs"]
    yield (*top, "job_stats"), lambda full: job_block(simulation, full, name, jobs, OST_ROWS[:10])
    yield (*top, "eviction_count"), fixed(0)
    for path, value in osd(simulation, name, target):
        yield path, value
        # Older programs ask the OST for what its disk file system knows.
        if len(path) == 3 and path[2] not in {"stats", "quota_slave"}:
            yield (*top, path[2]), value
    yield from lock_namespace(simulation, f"filter-{name}_UUID", name)


def mdt(simulation: Simulation, name: str, target: dict[str, Any]) -> Iterator[Entry]:
    """Yield the parameters of an MDT."""
    file_system = name.rpartition("-")[0]
    yield ("mdt", name, "md_stats"), stats(simulation, name, MDT_ROWS)
    yield from exports(simulation, "mdt", name, target, MDT_ROWS)
    jobs = simulation.node["jobs"]
    yield (
        ("mdt", name, "job_stats"),
        lambda full: job_block(simulation, full, name, jobs, MDT_ROWS),
    )
    yield from osd(simulation, name, target)
    index = counted(("changelog", "reqs", 10.0, 0), simulation.age_s(name, name), name)
    text = f"\ncurrent_index: {index}\nID                            index (idle) mask\n"
    yield ("mdd", name, "changelog_users"), fixed(f"{text}cl1 {max(0, index - 40):>27} (8)\n")
    for osp in simulation.osts_of(file_system):
        top = ("osp", f"{osp}-osc-{name.rpartition('-')[2]}")
        working = simulation.failed_since(osp) is None
        yield (*top, "active"), fixed(int(working))
        yield (*top, "max_create_count"), fixed(20000 if working else 0)
    if name.endswith("-MDT0000"):
        for manager, title in (("dt-0x0", "global_pool0_dt"), ("md-0x0", "global_pool0_md")):
            for kind in ("usr", "prj", "grp"):
                path = ("qmt", f"{file_system}-QMT0000", manager, f"glb-{kind}")
                yield path, fixed(limits(f"{title}_{kind}"))
    yield from lock_namespace(simulation, f"mdt-{name}_UUID", name)


def limits(title: str) -> str:
    """Return quota limits: none for root, some for one user."""
    none = f"limits:  {{ hard: {0:20}, soft: {0:20}, granted: {0:20}, time: {604800:20} }}"
    some = (
        f"limits:  {{ hard: {309200:20}, soft: {307200:20}, granted: {1025032:20}, time: {0:20} }}"
    )
    return f"\n{title}\n- id:      0\n  {none}\n- id:      1337\n  {some}\n"


def mgs(simulation: Simulation, name: str, target: dict[str, Any]) -> Iterator[Entry]:
    """Yield the parameters of the MGS, and one name for each file system it knows."""
    yield ("mgs", name, "mgs", "stats"), stats(simulation, name, SERVICE_ROWS)
    for word, value in (("max", 32), ("min", 3), ("started", 4)):
        yield ("mgs", name, "mgs", f"threads_{word}"), fixed(value)
    yield ("mgs", name, "num_exports"), fixed(len(target["clients"]) + 1)
    for file_system in ("params", *simulation.cluster["osts"]):
        yield ("mgs", name, "live", file_system), fixed(f"\nfsname: {file_system}\nflags: 0x20\n")


def lock_namespace(simulation: Simulation, namespace: str, target: str) -> Iterator[Entry]:
    """Yield the parameters of a lock namespace; the number of locks moves."""
    for word, value in LOCKS.items():
        shown = value
        if word == "lock_count":
            shown = value + int(simulation.age_s(namespace, target)) % 25
        yield ("ldlm", "namespaces", namespace, word), fixed(shown)


def services(simulation: Simulation) -> Iterator[Entry]:
    """Yield the request services that go with the kinds of targets here."""
    kinds = {target["kind"] for _, target in simulation.targets()}
    rooms: list[Path] = []
    if "OST" in kinds:
        rooms += [
            ("ost", "OSS", one) for one in ("ost", "ost_io", "ost_create", "ost_out", "ost_seq")
        ]
    if "MDT" in kinds:
        rooms += [("mds", "MDS", one) for one in MDS_SERVICES]
    if kinds:
        rooms += [("ldlm", "services", one) for one in ("ldlm_canceld", "ldlm_cbd")]
    for room in rooms:
        yield (*room, "stats"), stats(simulation, None, SERVICE_ROWS)


def snapshot_targets(simulation: Simulation) -> Iterator[Entry]:
    """Yield a name of each MDT of a mounted snapshot: all that is asked of those."""
    for mount in simulation.mounts():
        if ",nomgs" in mount["options"]:
            name = mount["options"].partition("svname=")[2].partition(",")[0]
            if "-MDT" in name:
                yield ("mdt", name, "num_exports"), fixed(1)


def clients(simulation: Simulation) -> Iterator[Entry]:
    """Yield the parameters of each client mount, and of its connections to the OSTs."""
    for number, mount in enumerate(simulation.node["mounts"]):
        if mount["fstype"] != "lustre":
            continue
        file_system = mount["source"].rpartition(":/")[2].partition("/")[0]
        suffix = f"ffff8b4a{number:08x}"
        top = ("llite", f"{file_system}-{suffix}")
        yield (*top, "stats"), stats(simulation, None, CLIENT_ROWS)
        for osc in simulation.osts_of(file_system):
            failed = simulation.failed_since(osc)
            state = "FULL" if failed is None else "DISCONN"
            since = int(failed if failed is not None else simulation.cluster["born"])
            text = f"\ncurrent_state: {state}\nstate_history:\n - [ {since}, {state} ]\n"
            yield ("osc", f"{osc}-osc-{suffix}", "state"), fixed(text)
