"""What daemons send, cut down to what a page shows of it."""

from __future__ import annotations

from typing import Any

__all__ = ["EVIL", "PAYLOADS"]

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def rows(read: int, written: int) -> list[dict[str, Any]]:
    """Return rows of a stats block."""
    return [
        {"name": "read_bytes", "units": "bytes", "samples": 4, "min": 1, "max": 9, "sum": read},
        {"name": "write_bytes", "units": "bytes", "samples": 4, "min": 1, "max": 9, "sum": written},
    ]


def target(name: str, read: int) -> list[dict[str, Any]]:
    """Return the records of one target."""
    said = {
        "BytesTotal": 10 * 1024**4,
        "BytesFree": 1024**4,
        "FilesTotal": 1000,
        "FilesFree": 250,
        "ConnectedClients": 2,
        "FsType": "ldiskfs",
        "RecoveryStatus": "Complete",
    }
    records = [
        {"Target": {tag: {"kind": "OST", "target": name, "value": value}}}
        for tag, value in said.items()
    ]
    stats = {"kind": "OST", "target": name, "value": rows(read, 2 * read)}
    return [*records, {"Target": {"Stats": stats}}]


def interface(name: str, up: bool) -> dict[str, Any]:
    """Return an interface."""
    counted = {"bytes": 2048, "packets": 3, "errs": 0, "drop": 1}
    return {
        "interface": name,
        "mac_address": "02:fc:00:00:00:01",
        "inet4_address": ["192.0.2.2/24"],
        "inet6_address": [],
        "stats": {"rx": counted, "tx": counted},
        "is_up": up,
        "mtu": 1500,
        "operational": "up" if up else "down",
    }


DISK = {
    "serial": "S1",
    "major": "8",
    "size": 2 * 1024**4,
    "filesystem_type": "ldiskfs",
    "fs_label": "fs1-OST0000",
    "paths": ["/dev/sda"],
    "mount": {"source": "/dev/sda", "target": "/mnt/ost0", "fs_type": "lustre", "opts": "rw"},
    "children": [{"Partition": {"size": 1024, "paths": ["/dev/sda1"], "children": []}}],
}
RESOURCE = {
    "id": "fs1-OST0000",
    "resource_agent": "ocf::lustre:Lustre",
    "role": "Started",
    "active": True,
    "orphaned": False,
    "managed": True,
    "failed": False,
    "active_node_name": "oss01",
}

PAYLOADS: dict[str, Any] = {
    "agent": {
        "version": "0.1.0",
        "protocol": 2,
        "python": "3.11.7",
        "mode": "enforce",
        "plugins": [
            {"name": "host.facts", "state": "loaded", "actions": [], "daemons": ["host"]},
            {"name": "odd", "state": "refused", "reason": "not in the allowlist"},
        ],
        "daemons": [{"name": "host", "interval_s": 10.0}],
        "health": {
            "daemons": [
                {"name": "host", "session": "active", "condition": "ok"},
                {"name": "stats", "session": "empty", "condition": "quarantined", "reason": "late"},
            ]
        },
        "clock_offset_s": 3.0,
        "certificate": {"subject": "oss01", "days_left": 3.0},
    },
    "clock": {
        "services": ["chrony"],
        "synchronized": True,
        "tracking": {"reference": "ntp1", "stratum": 3, "offset_seconds": 1.2e-5, "leap": "Normal"},
        "sources": [
            {"name": "ntp1", "state": "selected", "stratum": 2, "reach": 255},
            {"name": "ntp2", "state": "unreachable", "stratum": 0, "reach": 0},
        ],
    },
    "corosync": {
        "nodes": [
            {"name": "oss01", "online": True, "is_dc": True, "type": "Member"},
            {"name": "oss02", "online": False, "unclean": True, "type": "Member"},
        ],
        "resources": [RESOURCE, {**RESOURCE, "id": "fs1-OST0001", "failed": True}],
        "bans": [{"id": "ban-1", "resource": "fs1-OST0000", "node": "oss02", "weight": -1000}],
        "resource_mounts": {"fs1-OST0000": "/mnt/ost0"},
    },
    "device": [
        [{"Root": {"children": [{"ScsiDevice": DISK}]}}, [DISK["mount"]]],
        [],
    ],
    "host": {
        "hostname": "oss01",
        "os": {"id": "rhel", "version": "9.4", "name": "Red Hat Enterprise Linux 9.4"},
        "kernel": {"release": "5.14.0", "machine": "x86_64"},
        "cpu": {"model": "EPYC", "sockets": 1, "cores": 8, "threads": 16},
        "load": {"one": 40.0, "five": 38.0, "fifteen": 20.0, "running": 3, "threads": 145},
        "memory_bytes": {"total": 64 * 1024**3, "available": 2 * 1024**3},
        "uptime_seconds": 90061.0,
        "pressure": {"io": {"some": {"avg10": 44.0}, "full": {"avg10": 3.0}}},
        "file_systems": [
            {"target": "/", "source": "/dev/sda", "fs_type": "ext4", "size": 100, "available": 3},
            {"target": "/nfs", "source": "x:/", "fs_type": "nfs", "stuck_since": "2026-03-01"},
        ],
        "sensors": [
            {"chip": "k10temp", "label": "Tctl", "unit": "celsius", "value": 91.0, "critical": 90}
        ],
    },
    "journal": [
        {
            "datetime": {"secs": 1_770_000_000, "nanos": 123_000_000},
            "severity": "Err",
            "facility": 3,
            "source": "kernel",
            "message": "LustreError: 11-0: operation failed",
        }
    ],
    "network": {
        "network_interfaces": [interface("eth0", up=True), interface("eth1", up=False)],
        "lnet_data": {
            "net": [
                {
                    "net type": "tcp",
                    "local NI(s)": [
                        {"nid": "10.0.0.1@tcp", "status": "up", "interfaces": {"0": "eth0"}}
                    ],
                }
            ]
        },
    },
    "ntp": {"Unsynced": "0.5 s"},
    "ostpool": {"fs1": [{"name": "flash", "filesystem": "fs1", "osts": ["fs1-OST0000"]}]},
    "snapshot": {
        "fs1": [
            {
                "filesystem_name": "fs1",
                "snapshot_name": "nightly-1",
                "snapshot_fsname": "2f1a",
                "create_time": "2026-03-01T00:00:00Z",
                "modify_time": "2026-03-01T00:00:00Z",
                "mounted": False,
                "comment": None,
            }
        ]
    },
    "stats": [
        {"Host": {"HealthCheck": {"param": "health_check", "value": "healthy"}}},
        *target("fs1-OST0000", 1024**3),
        {"Target": {"Llite": {"target": "fs1-ffff", "param": "stats", "stats": rows(1, 2)}}},
        {"Controller": {"OscState": {"controller": "c1", "value": {"current_state": "DISCONN"}}}},
        {"LNetStat": {"SendCount": {"nid": "10.0.0.1@tcp", "value": 7}}},
        {
            "Target": {
                "JobStatsOst": {
                    "target": "fs1-OST0000",
                    "value": {"job_id": "dd.0", "read_bytes": {"samples": 3, "sum": 4096}},
                }
            }
        },
    ],
    "uptime": {"seconds": 17.5, "up": True, "boots": [{"at": "today", "took": 3}]},
}
"""By daemon; ``uptime`` is a third party's."""
