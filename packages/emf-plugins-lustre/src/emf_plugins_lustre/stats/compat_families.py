"""The families of the field's exporter (release 0.12.6): names, kinds and help, in its order.

Facts: "lustre statistics, metrics of the reference exporter". Names, kinds and help texts are
an interface: boards and alert rules were written against them, oddities included (counters
without ``_total``, gauges with it, microseconds called milliseconds).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from emf_plugins_lustre.stats.exposition_text import Family

__all__ = ["COMPAT_FAMILIES", "JOB_FAMILIES", "MDS_SERVICES", "OSS_SERVICES"]

OSS_SERVICES = ("ost", "ost_io", "ost_create")
MDS_SERVICES = (
    "mdt",
    "mdt_fld",
    "mdt_io",
    "mdt_out",
    "mdt_readpage",
    "mdt_seqm",
    "mdt_seqs",
    "mdt_setattr",
)

_C: Literal["counter"] = "counter"
_G: Literal["gauge"] = "gauge"


def _sizes(prefix: str) -> Iterator[Family]:
    for verb, past in (("read", "reads"), ("write", "writes")):
        done = "read" if verb == "read" else "written"
        yield Family(
            f"{prefix}{verb}_samples_total",
            _C,
            f"Total number of {past} that have been recorded.",
            f"{verb}_bytes: samples",
        )
        yield Family(
            f"{prefix}{verb}_minimum_size_bytes",
            _G,
            f"The minimum {verb} size in bytes.",
            f"{verb}_bytes: min",
        )
        yield Family(
            f"{prefix}{verb}_maximum_size_bytes",
            _C,
            f"The maximum {verb} size in bytes.",
            f"{verb}_bytes: max",
        )
        yield Family(
            f"{prefix}{verb}_bytes_total",
            _C,
            f"The total number of bytes that have been {done}.",
            f"{verb}_bytes: sum",
        )


JOB_FAMILIES: tuple[Family, ...] = (
    *_sizes("lustre_job_"),
    Family(
        "lustre_job_stats_total",
        _C,
        "Number of operations the filesystem has performed, recorded by jobstats.",
        "job_stats: samples",
    ),
)

_HOST = (
    Family(
        "lustre_health_healthy",
        _G,
        "Indicates whether the Lustre server is healthy or not. 1 is healthy, 0 is unhealthy.",
        "health_check",
    ),
    Family(
        "lustre_lnet_mem_used",
        _G,
        "Gives information about Lustre LNet memory usage.",
        "lnet_memused",
    ),
    Family("lustre_mem_used", _G, "Gives information about Lustre memory usage.", "memused"),
    Family(
        "lustre_mem_used_max",
        _C,
        "Gives information about Lustre maximum memory usage.",
        "memused_max",
    ),
)

_QUOTA = (
    Family("lustre_quota_hard", _G, "The hard quota for a given component.", "qmt.*.glb-*"),
    Family("lustre_quota_soft", _G, "The soft quota for a given component.", "qmt.*.glb-*"),
    Family("lustre_quota_granted", _G, "The granted quota for a given component.", "qmt.*.glb-*"),
    Family(
        "lustre_lqa_quota_hard",
        _G,
        "The aggregated hard quota for a given tenant.",
        "qmt.*.lqa-*.glb-*",
    ),
    Family(
        "lustre_lqa_quota_soft",
        _G,
        "The aggregated soft quota for a given tenant.",
        "qmt.*.lqa-*.glb-*",
    ),
    Family(
        "lustre_lqa_quota_granted",
        _G,
        "The aggregated granted quota for a given tenant.",
        "qmt.*.lqa-*.glb-*",
    ),
    Family(
        "lustre_quota_used_kbytes",
        _G,
        "The hard quota for a given component.",
        "osd-*.quota_slave.acct_*: kbytes",
    ),
    Family(
        "lustre_quota_used_inodes",
        _G,
        "The amount of inodes used by quota.",
        "osd-*.quota_slave.acct_*: inodes",
    ),
)

_LDLM = (
    Family(
        "lustre_ldlm_canceld_stats",
        _C,
        "Gives information about LDLM Canceld service.",
        "ldlm.services.ldlm_canceld.stats",
    ),
    Family(
        "lustre_ldlm_cbd_stats",
        _C,
        "Gives information about LDLM Callback service.",
        "ldlm.services.ldlm_cbd.stats",
    ),
    Family(
        "lustre_ldlm_canceld_stats_start_time",
        _G,
        "Time (epoch seconds) the LDLM Canceld service stats were last reset.",
        "ldlm.services.ldlm_canceld.stats: start_time",
    ),
    Family(
        "lustre_ldlm_cbd_stats_start_time",
        _G,
        "Time (epoch seconds) the LDLM Callback service stats were last reset.",
        "ldlm.services.ldlm_cbd.stats: start_time",
    ),
)

_BRW = (
    Family(
        "lustre_disk_io_total",
        _C,
        "Total number of operations the filesystem has performed for the given size. "
        "'size' label represents 'Disk I/O size', the size of each I/O operation.",
        "brw_stats: disk I/O size",
    ),
    Family(
        "lustre_dio_frags",
        _C,
        "Current disk IO fragmentation for the given size. 'size' label represents "
        "'Disk fragmented I/Os', the number of I/Os that were not written entirely sequentially.",
        "brw_stats: disk fragmented I/Os",
    ),
    Family(
        "lustre_disk_io",
        _C,
        "Current number of I/O operations that are processing during the snapshot. 'size' label "
        "represents 'Disk I/Os in flight', the number of disk I/Os currently pending.",
        "brw_stats: disk I/Os in flight",
    ),
    Family(
        "lustre_discontiguous_pages_total",
        _C,
        "Total number of logical discontinuities per RPC. 'size' label represents "
        "'Discontiguous pages', the number of discontinuities in the logical file offset of each "
        "page in a single RPC.",
        "brw_stats: discontiguous pages",
    ),
    Family(
        "lustre_discontiguous_blocks_total",
        _C,
        "'size' label represents 'Discontiguous blocks', the number of discontinuities in the "
        "physical block allocation in the file system for a single RPC.",
        "brw_stats: discontiguous blocks",
    ),
    Family(
        "lustre_io_time_milliseconds_total",
        _C,
        "Total time in milliseconds the filesystem has spent processing various object sizes. "
        "'size' label represents 'I/O time (1/1000s)', the amount of time for each I/O operation "
        "to complete.",
        "brw_stats: I/O time; io_latency_stats",
    ),
    Family(
        "lustre_pages_per_bulk_rw_total",
        _C,
        "Total number of pages per block RPC. 'size' label represents 'Pages per bulk r/w', the "
        "number of pages per RPC request.",
        "brw_stats: pages per bulk r/w",
    ),
    Family(
        "lustre_brw_stats_start_time",
        _G,
        "Unix epoch seconds when the brw_stats counters were last reset.",
        "brw_stats, io_latency_stats: start_time",
    ),
)

_TARGETS = (
    Family(
        "lustre_inodes_free",
        _G,
        "The number of inodes (objects) available.",
        "osd-*.filesfree",
    ),
    Family(
        "lustre_inodes_maximum",
        _G,
        "The maximum number of inodes (objects) the filesystem can hold.",
        "osd-*.filestotal",
    ),
    Family(
        "lustre_available_kilobytes",
        _G,
        "Number of kilobytes readily available in the pool.",
        "osd-*.kbytesavail",
    ),
    Family(
        "lustre_free_kilobytes",
        _G,
        "Number of kilobytes allocated to the pool.",
        "osd-*.kbytesfree",
    ),
    Family(
        "lustre_capacity_kilobytes", _G, "Capacity of the pool in kilobytes.", "osd-*.kbytestotal"
    ),
    Family(
        "lustre_exports_total",
        _G,
        "Total number of times the pool has been exported.",
        "num_exports",
    ),
    Family(
        "lustre_exports_dirty_total",
        _G,
        "Total number of exports that have been marked dirty.",
        "obdfilter.*.tot_dirty",
    ),
    Family(
        "lustre_exports_granted_total",
        _G,
        "Total number of exports that have been marked granted.",
        "obdfilter.*.tot_granted",
    ),
    Family(
        "lustre_exports_pending_total",
        _G,
        "Total number of exports that have been marked pending.",
        "obdfilter.*.tot_pending",
    ),
    Family(
        "lustre_lock_contended_total",
        _G,
        "Number of contended locks.",
        "ldlm.namespaces.*.contended_locks",
    ),
    Family(
        "lustre_lock_contention_seconds_total",
        _G,
        "Time in seconds during which locks were contended.",
        "ldlm.namespaces.*.contention_seconds",
    ),
    Family("lustre_connected_clients", _G, "Number of connected clients.", "mdt.*.exports.*.uuid"),
    Family("lustre_lock_count_total", _G, "Number of locks.", "ldlm.namespaces.*.lock_count"),
    Family(
        "lustre_lock_timeout_total",
        _C,
        "Number of lock timeouts.",
        "ldlm.namespaces.*.lock_timeouts",
    ),
    Family(
        "lustre_block_maps_milliseconds_total",
        _C,
        "Number of block maps in milliseconds.",
        "brw_stats: block maps msec",
    ),
)

_RECOVERY = (
    Family(
        "recovery_status",
        _G,
        "Gives the recovery status off a target. 0=Complete 1=Inactive 2=Waiting "
        "3=WaitingForClients 4=Recovering 5=Unknown.",
        "recovery_status: status",
    ),
    Family(
        "recovery_status_completed_clients",
        _G,
        "Gives the count of clients that complete the recovery on a target.",
        "recovery_status: completed_clients",
    ),
    Family(
        "recovery_status_connected_clients",
        _G,
        "Gives the count of clients connected to a target.",
        "recovery_status: connected_clients",
    ),
    Family(
        "recovery_status_evicted_clients",
        _G,
        "Gives the count of clients evicted from a target.",
        "recovery_status: evicted_clients",
    ),
    Family(
        "recovery_status_duration_seconds",
        _G,
        "Gives the total duration in seconds of the recovery on a target.",
        "recovery_status: recovery_duration",
    ),
    Family(
        "recovery_status_time_remaining_seconds",
        _G,
        "Gives the estimated time remaining in seconds of the recovery on a target.",
        "recovery_status: time_remaining",
    ),
    Family(
        "recovery_status_total_clients",
        _G,
        "Gives the total number of clients involved in the recovery on a target.",
        "recovery_status: connected_clients n/total",
    ),
)

_AFTER_RECOVERY = (
    *(
        Family(f"lustre_oss_{name}_stats", _G, f"OSS {name} stats.", f"ost.OSS.{name}.stats")
        for name in OSS_SERVICES
    ),
    Family(
        "lustre_changelog_current_index",
        _G,
        "current changelog index.",
        "mdd.*.changelog_users: current_index",
    ),
    Family(
        "lustre_changelog_user_index",
        _G,
        "current, maximum changelog index per registered changelog user.",
        "mdd.*.changelog_users: index",
    ),
    Family(
        "lustre_changelog_user_idle_sec",
        _G,
        "current changelog user idle seconds.",
        "mdd.*.changelog_users: idle",
    ),
    Family(
        "lustre_osp_active",
        _G,
        "Whether the OSP target is active. Value of 1 means active, 0 means deactivated.",
        "osp.*.active",
    ),
    Family(
        "lustre_osp_max_create_count",
        _G,
        "Maximum object creation count for the OSP target (0 means disabled).",
        "osp.*.max_create_count",
    ),
    Family("lustre_client_stats", _C, "Lustre client interface stats.", "llite.*.stats"),
    Family(
        "lustre_client_stats_start_time",
        _G,
        "Unix epoch seconds when lustre_client_stats was last reset.",
        "llite.*.stats: start_time",
    ),
)

_LNET = (
    Family(
        "lustre_send_count_total",
        _C,
        "Total number of messages that have been sent.",
        "lnetctl net show: send_count",
    ),
    Family(
        "lustre_receive_count_total",
        _C,
        "Total number of messages that have been received.",
        "lnetctl net show: recv_count",
    ),
    Family(
        "lustre_drop_count_total",
        _C,
        "Total number of messages that have been dropped.",
        "lnetctl net show: drop_count",
    ),
    Family(
        "lustre_send_bytes_total",
        _C,
        "Total number of bytes that have been sent.",
        "lnetctl stats show: send_length",
    ),
    Family(
        "lustre_receive_bytes_total",
        _C,
        "Total number of bytes that have been received.",
        "lnetctl stats show: recv_length",
    ),
    Family(
        "lustre_drop_bytes_total",
        _C,
        "Total number of bytes that have been dropped.",
        "lnetctl stats show: drop_length",
    ),
    Family(
        "lustre_health_value",
        _G,
        "The health value of each LNet network interface.",
        "lnetctl net show: health value",
    ),
    Family(
        "lustre_health_sensitivity",
        _G,
        "Lustre LNet health sensitivity.",
        "lnetctl global show: health_sensitivity",
    ),
)

_CACHE = (
    Family(
        "lustre_get_page_total",
        _C,
        "The total number of times the linux page cache was used.",
        "osd-*.stats: get_page",
    ),
    Family(
        "lustre_cache_access_total",
        _C,
        "The total number of cache accesses.",
        "osd-*.stats: cache_access",
    ),
    Family(
        "lustre_cache_hit_total", _C, "The total number of cache hits.", "osd-*.stats: cache_hit"
    ),
    Family(
        "lustre_cache_miss_total",
        _C,
        "The total number of cache misses.",
        "osd-*.stats: cache_miss",
    ),
    Family(
        "lustre_many_credits_total",
        _C,
        "The total number of times lustre hit too many credits.",
        "osd-*.stats: many_credits",
    ),
)

_STATS = (
    *_sizes("lustre_"),
    Family(
        "lustre_stats_total",
        _C,
        "Number of operations the filesystem has performed.",
        "md_stats, nodemap md_stats, osd-*MDT*.stats: samples",
    ),
    Family(
        "lustre_stats_start_time",
        _G,
        "Unix epoch seconds when lustre_stats was last reset.",
        "stats of obdfilter, mdt, mgs, osd, nodemap: start_time",
    ),
    Family(
        "lustre_stats_time_min",
        _G,
        "Minimum time taken for an operation in microseconds.",
        "as lustre_stats_total: min",
    ),
    Family(
        "lustre_stats_time_max",
        _G,
        "Maximum time taken for an operation in microseconds.",
        "as lustre_stats_total: max",
    ),
    Family(
        "lustre_stats_time_total",
        _G,
        "Total time taken for an operation in microseconds.",
        "as lustre_stats_total: sum",
    ),
    *_CACHE,
    Family(
        "lustre_client_export_stats",
        _C,
        "Number of operations the target has performed per export.",
        "exports.*.stats: samples",
    ),
    Family(
        "lustre_client_export_milliseconds_total",
        _C,
        "Accumulated latency per operations the target has performed per export.",
        "exports.*.stats: sum of usecs",
    ),
    Family(
        "lustre_client_export_bytes_total",
        _C,
        "Accumulated bytes per operation the target has performed per export.",
        "exports.*.stats: sum of bytes",
    ),
    *(
        Family(f"lustre_mds_{name}_stats", _G, f"MDS {name} stats.", f"mds.MDS.{name}.stats")
        for name in MDS_SERVICES
    ),
)

COMPAT_FAMILIES: tuple[Family, ...] = (
    *_HOST,
    *_QUOTA,
    *_LDLM,
    *_BRW,
    *_TARGETS,
    *_RECOVERY,
    *_AFTER_RECOVERY,
    *_LNET,
    *_STATS,
)
