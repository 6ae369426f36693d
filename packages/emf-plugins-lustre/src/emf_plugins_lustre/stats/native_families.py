"""The families of native mode: one prefix, base units in the names, the origin in the help.

``SCALARS`` is the whole rule for single values: parameter, metric, factor to the base unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from emf_plugins_lustre.stats.exposition_text import Family

__all__ = [
    "HISTOGRAMS",
    "NATIVE_FAMILIES",
    "NATIVE_JOB_FAMILIES",
    "PREFIX",
    "ROW_SCOPES",
    "SCALARS",
    "SECONDS_IN",
    "Scalar",
    "tidy",
]

PREFIX = "emf_lustre_"
SECONDS_IN = {"usec": 1e-6, "usecs": 1e-6, "msec": 1e-3, "sec": 1.0, "secs": 1.0}
Kind = Literal["counter", "gauge"]


class Scalar(NamedTuple):
    """How a single value becomes a metric; ``factor`` brings it to the base unit."""

    param: str
    name: str
    help: str
    kind: Kind = "gauge"
    factor: float = 1


SCALARS: tuple[Scalar, ...] = (
    Scalar("memused", "memory_used_bytes", "Bytes allocated by Lustre"),
    Scalar("memused_max", "memory_used_max_bytes", "Most bytes ever allocated by Lustre"),
    Scalar("lnet_memused", "lnet_memory_used_bytes", "Bytes allocated by LNet"),
    Scalar("filesfree", "target_inodes_free", "Inodes that are free"),
    Scalar("filestotal", "target_inodes", "Inodes in all"),
    Scalar("kbytesavail", "target_available_bytes", "Bytes users can still write", factor=1024),
    Scalar("kbytesfree", "target_free_bytes", "Bytes that are free", factor=1024),
    Scalar("kbytestotal", "target_capacity_bytes", "Bytes in all", factor=1024),
    Scalar("num_exports", "target_exports", "Connected exports, servers included"),
    Scalar("connected_clients", "target_clients", "Connected clients"),
    Scalar("eviction_count", "target_evictions_total", "Clients evicted", "counter"),
    Scalar(
        "job_cleanup_interval",
        "target_job_cleanup_interval_seconds",
        "Idle time after which a job's counters disappear",
    ),
    Scalar("tot_dirty", "target_dirty_bytes", "Bytes dirty in the caches of clients"),
    Scalar("tot_granted", "target_granted_bytes", "Bytes granted to clients"),
    Scalar("tot_pending", "target_pending_bytes", "Bytes being written"),
    Scalar("threads_max", "mgs_threads_max", "Most service threads"),
    Scalar("threads_min", "mgs_threads_min", "Fewest service threads"),
    Scalar("threads_started", "mgs_threads", "Service threads started"),
    Scalar("osp.active", "import_active", "1 where the connection to the target is active"),
    Scalar("osp.max_create_count", "import_max_create_objects", "Objects created at once; 0: off"),
    Scalar("contended_locks", "ldlm_contended_locks_threshold", "Setting: conflicts of a resource"),
    Scalar(
        "contention_seconds", "ldlm_contention_seconds", "Setting: time a resource is contended"
    ),
    Scalar("ctime_age_limit", "ldlm_ctime_age_limit_seconds", "Setting"),
    Scalar("early_lock_cancel", "ldlm_early_lock_cancel", "Setting"),
    Scalar("lock_count", "ldlm_locks", "Locks held"),
    Scalar("lock_timeouts", "ldlm_lock_timeouts_total", "Locks that timed out", "counter"),
    Scalar("lock_unused_count", "ldlm_unused_locks", "Locks held and not in use"),
    Scalar("lru_max_age", "ldlm_lru_max_age_seconds", "Setting", factor=0.001),
    Scalar("lru_size", "ldlm_lru_locks", "Setting: locks kept"),
    Scalar("max_nolock_bytes", "ldlm_max_nolock_bytes", "Setting"),
    Scalar("max_parallel_ast", "ldlm_max_parallel_ast", "Setting"),
    Scalar("resource_count", "ldlm_resources", "Resources that have locks"),
    Scalar("pool.granted", "ldlm_pool_granted_locks", "Locks granted by the pool"),
    Scalar("pool.limit", "ldlm_pool_limit_locks", "Locks the pool may grant"),
)

ROW_SCOPES: dict[str, str] = {
    "stats": "target",
    "md_stats": "target",
    "osd.stats": "target",
    "mgs.stats": "target",
    "nodemap.dt_stats": "nodemap",
    "nodemap.md_stats": "nodemap",
    "exports.stats": "export",
    "oss": "service",
    "mds": "service",
    "ldlm": "service",
    "llite.stats": "client",
    "osc.stats": "import",
    "mdc.stats": "import",
    "pool.stats": "ldlm_pool",
}

HISTOGRAMS: dict[str, tuple[str, str, float]] = {
    "pages": ("rpcs_by_pages_total", "Bulk RPCs by their pages", 1),
    "discont_pages": ("rpcs_by_page_breaks_total", "Bulk RPCs by breaks in the file's offset", 1),
    "discont_blocks": ("rpcs_by_block_breaks_total", "Bulk RPCs by breaks in disk blocks", 1),
    "dio_frags": ("rpcs_by_fragments_total", "Bulk RPCs by the disk I/Os they were split into", 1),
    "rpc_hist": ("disk_ios_by_in_flight_total", "Disk I/Os by how many were pending", 1),
    "io_time": ("disk_ios_by_seconds_total", "Disk I/Os by the time they took", 0.001),
    "disk_iosize": ("disk_ios_by_bytes_total", "Disk I/Os by their bytes", 1),
    "block_maps_msec": ("block_maps_by_seconds_total", "Block mappings by their time", 0.001),
    "pages_per_rpc": ("import_rpcs_by_pages_total", "RPCs of a client by their pages", 1),
    "rpcs_in_flight": ("import_rpcs_by_in_flight_total", "RPCs of a client by how many ran", 1),
    "offset": ("import_rpcs_by_offset_total", "RPCs of a client by page offset", 1),
}


def _families() -> Iterator[Family]:
    def family(name: str, kind: Kind, text: str, origin: str) -> Family:
        return Family(PREFIX + name, kind, f"{text} ({origin}).", origin)

    yield family("healthy", "gauge", "1 where Lustre calls itself healthy", "health_check")
    yield family("device_unhealthy", "gauge", "1 for each device it blames", "health_check")
    yield family("version_info", "gauge", "The version of Lustre", "version")
    yield family("target_info", "gauge", "The backend of a target", "osd-*.fstype")
    for scalar in SCALARS:
        yield family(scalar.name, scalar.kind, scalar.help, scalar.param)
    for scope in dict.fromkeys(ROW_SCOPES.values()):
        params = ", ".join(param for param, found in ROW_SCOPES.items() if found == scope)
        yield family(f"{scope}_operations_total", "counter", "Samples of an operation", params)
        for what in ("seconds", "bytes", "amount"):
            name = f"{scope}_operation_{what}"
            yield family(f"{name}_total", "counter", f"Sum of {what}", f"{params}: sum")
            yield family(f"{name}_min", "gauge", f"Smallest {what}", f"{params}: min")
            yield family(f"{name}_max", "gauge", f"Largest {what}", f"{params}: max")
        yield family(f"{scope}_counters_start_seconds", "gauge", "Epoch of the last reset", params)
    for name, text, _ in HISTOGRAMS.values():
        origin = "rpc_stats" if name.startswith("import") else "brw_stats, io_latency_stats"
        yield family(name, "counter", text, origin)
    yield family("recovery_status", "gauge", "1 for the status a target is in", "recovery_status")
    for name in ("completed_clients", "connected_clients", "evicted_clients", "total_clients"):
        yield family(f"recovery_{name}", "gauge", "Clients", f"recovery_status: {name}")
    yield family("recovery_duration_seconds", "gauge", "Time it took", "recovery_status")
    yield family("recovery_remaining_seconds", "gauge", "Time left", "recovery_status")
    yield family("recovery_start_seconds", "gauge", "Epoch of its begin", "recovery_status")
    yield family("recovery_replayed_requests", "gauge", "Requests replayed", "recovery_status")
    yield family("changelog_index", "gauge", "Newest record", "changelog_users")
    yield family("changelog_user_index", "gauge", "Record a user has read to", "changelog_users")
    yield family("changelog_user_lag_records", "gauge", "Records not yet read", "changelog_users")
    yield family("changelog_user_idle_seconds", "gauge", "Time since it read", "changelog_users")
    for limit in ("hard", "soft", "granted"):
        for unit in ("bytes", "inodes"):
            yield family(f"quota_{limit}_{unit}", "gauge", f"{limit} quota", "qmt.*.glb-*")
    yield family("quota_used_bytes", "gauge", "Bytes used by an id", "quota_slave.acct_*")
    yield family("quota_used_inodes", "gauge", "Inodes used by an id", "quota_slave.acct_*")
    yield family("import_state", "gauge", "1 for the state an import is in", "osc, mdc: state")
    yield family("import_connected", "gauge", "1 where it is FULL or IDLE", "osc, mdc: state")
    yield family("import_evictions", "gauge", "Evictions its history shows", "osc, mdc: state")
    net, peer = "lnetctl net show", "lnetctl peer show"
    yield family("lnet_up", "gauge", "1 where the interface is up", net)
    yield family("lnet_health", "gauge", "Health of an interface, 1000 is best", net)
    yield family("lnet_messages_total", "counter", "Messages of an interface", net)
    yield family("lnet_messages_by_type_total", "counter", "Messages of an interface by type", net)
    yield family("lnet_health_events_total", "counter", "What lowered its health", net)
    yield family("lnet_credits", "gauge", "Tunables of an interface", net)
    yield family("lnet_bytes_total", "counter", "Bytes of the node", "lnetctl stats show")
    yield family("lnet_events_total", "counter", "Counters of the node", "lnetctl stats show")
    yield family("lnet_setting", "gauge", "Settings of LNet", "lnetctl global show")
    yield family("lnet_peer_health", "gauge", "Health of a peer, 1000 is best", peer)
    yield family("lnet_peer_messages_total", "counter", "Messages to and from a peer", peer)
    yield family("lnet_peer_health_events_total", "counter", "What lowered its health", peer)


NATIVE_FAMILIES: tuple[Family, ...] = tuple(_families())

_JOBS: tuple[tuple[str, Kind, str], ...] = (
    ("job_operations_total", "counter", "Samples of an operation of a job"),
    ("job_operation_seconds_total", "counter", "Time spent in an operation"),
    ("job_operation_seconds_max", "gauge", "Longest time of one operation"),
    ("job_bytes_total", "counter", "Bytes moved"),
    ("job_io_bytes_min", "gauge", "Smallest I/O"),
    ("job_io_bytes_max", "gauge", "Largest I/O"),
    ("job_ios_by_bytes_total", "counter", "I/Os by their bytes"),
    ("job_start_seconds", "gauge", "Epoch of the job's first counter"),
    ("job_snapshot_seconds", "gauge", "Epoch of the job's last activity"),
)

NATIVE_JOB_FAMILIES: tuple[Family, ...] = tuple(
    Family(PREFIX + name, kind, f"{text} (job_stats).", "job_stats") for name, kind, text in _JOBS
)


def tidy(number: float) -> int | float:
    """Return whole numbers as integers, so that they print without a fraction."""
    return int(number) if number == int(number) else round(number, 9)
