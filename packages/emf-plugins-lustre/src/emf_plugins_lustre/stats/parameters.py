"""The table of parameters: what to ask ``lctl`` for, and which format stands behind each key.

Order and patterns are those of "lustre statistics, what the reference runs"; rows marked
``extended`` are what users of the field's exporter ask for beyond it. A template names the
parts of a key: ``{target}``, ``{nid}`` and so on become labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from emf_plugins_lustre.stats.records import Kind

__all__ = ["GROUPS", "PARAMETERS", "Match", "Parameter", "Shape", "asked_patterns", "find"]


class Shape(Enum):
    """The format of a value."""

    NUMBER = "number"
    TEXT = "text"
    ROWS = "rows"
    BRW = "brw"
    LATENCY = "latency"
    LIMITS = "limits"
    USAGE = "usage"
    RECOVERY = "recovery"
    CHANGELOG = "changelog"
    HEALTH = "health"
    STATE = "state"
    UUIDS = "uuids"
    FSNAME = "fsname"
    JOBS = "jobs"


_PARTS = {
    "target": r"[A-Za-z0-9_\-]+",
    "backend": r"[A-Za-z0-9_]+",
    "role": r"mdt|filter|mdc|osc|ost|MGC|MGS",
    "nid": r"\S+@\S+",
    "manager": r"(?:lqa-)?(?:dt|md)",
    "pool": r"\S+",
    "service": r"\w+",
    "fsname": r"\S+",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: how to ask for it, how to know its key, what its value is."""

    template: str
    shape: Shape
    param: str
    group: str
    units: str | None = None
    kind: Kind | None = None  # None: the target's name tells
    asked: str | None = None  # None: the template with a star for each part
    extended: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    key: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        pieces = re.split(r"\{(\w+)\}", self.template)
        text = "".join(
            f"(?P<{piece}>{_PARTS[piece]})" if index % 2 else re.escape(piece)
            for index, piece in enumerate(pieces)
        )
        object.__setattr__(self, "key", re.compile(text + r"\Z"))

    @property
    def pattern(self) -> str:
        """The argument for ``lctl get_param``."""
        return self.asked or re.sub(r"\{\w+\}", "*", self.template)


class Match(NamedTuple):
    """A key understood: its parameter and the parts of its name."""

    parameter: Parameter
    parts: dict[str, str]


def _table() -> Iterator[Parameter]:
    yield from _host()
    yield from _osd()
    yield from _servers()
    yield from _services()
    yield from _locks()
    yield from _others()
    yield from _extended()


def _host() -> Iterator[Parameter]:
    for name in ("memused", "memused_max", "lnet_memused"):
        yield Parameter(name, Shape.NUMBER, name, "host", "bytes", "host")
    yield Parameter("health_check", Shape.HEALTH, "health_check", "host", None, "host")
    yield Parameter(
        "mdt.{target}.exports.{nid}.uuid", Shape.UUIDS, "connected_clients", "clients", "count"
    )


def _osd() -> Iterator[Parameter]:
    at = "osd-{backend}.{target}."
    yield Parameter(at + "stats", Shape.ROWS, "osd.stats", "osd")
    units = {"filesfree": "inodes", "filestotal": "inodes", "fstype": "text"}
    for name in ("filesfree", "filestotal", "fstype", "kbytesavail", "kbytesfree", "kbytestotal"):
        shape = Shape.TEXT if name == "fstype" else Shape.NUMBER
        yield Parameter(at + name, shape, name, "osd", units.get(name, "KiB"))
        yield Parameter(
            "obdfilter.{target}." + name, shape, name, "osd", units.get(name, "KiB"), asked=""
        )
    yield Parameter(at + "brw_stats", Shape.BRW, "brw_stats", "brw")
    yield Parameter("obdfilter.{target}.brw_stats", Shape.BRW, "brw_stats", "brw", asked="")
    yield Parameter(at + "io_latency_stats", Shape.LATENCY, "io_latency_stats", "brw")
    for name in ("group", "user", "project"):
        param = f"quota_slave.acct_{name}"
        yield Parameter(at + param, Shape.USAGE, param, "quota", labels=(("accounting", name),))


def _servers() -> Iterator[Parameter]:
    yield Parameter("osp.{target}.active", Shape.NUMBER, "osp.active", "osp", "bool")
    yield Parameter(
        "osp.{target}.max_create_count", Shape.NUMBER, "osp.max_create_count", "osp", "objects"
    )
    yield Parameter("mgs.{target}.mgs.stats", Shape.ROWS, "mgs.stats", "mgs", None, "mgt")
    for name in ("threads_max", "threads_min", "threads_started"):
        yield Parameter(f"mgs.{{target}}.mgs.{name}", Shape.NUMBER, name, "mgs", "threads", "mgt")
    yield Parameter("mgs.{target}.num_exports", Shape.NUMBER, "num_exports", "mgs", "count", "mgt")
    ost, asked = "obdfilter.{target}.", "obdfilter.*OST*."
    yield Parameter(ost + "stats", Shape.ROWS, "stats", "ost", asked=asked + "stats")
    yield Parameter(
        ost + "num_exports",
        Shape.NUMBER,
        "num_exports",
        "ost",
        "count",
        asked=asked + "num_exports",
    )
    for name in ("tot_dirty", "tot_granted", "tot_pending"):
        yield Parameter(ost + name, Shape.NUMBER, name, "ost", "bytes", asked=asked + name)
    yield Parameter(
        ost + "exports.{nid}.stats",
        Shape.ROWS,
        "exports.stats",
        "exports",
        asked=asked + "exports.*.stats",
    )


def _services() -> Iterator[Parameter]:
    for name in ("ost", "ost_io", "ost_create", "ost_out", "ost_seq"):
        yield _service(f"ost.OSS.{name}.stats", "oss", name)
    for suffix in ("", "_fld", "_io", "_out", "_readpage", "_seqm", "_seqs", "_setattr"):
        yield _service(f"mds.MDS.mdt{suffix}.stats", "mds", f"mdt{suffix}")
    yield Parameter("mdt.{target}.md_stats", Shape.ROWS, "md_stats", "mdt")
    yield Parameter(
        "mdt.{target}.num_exports",
        Shape.NUMBER,
        "num_exports",
        "mdt",
        "count",
        asked="mdt.*MDT*.num_exports",
    )
    yield Parameter(
        "mdt.{target}.exports.{nid}.stats",
        Shape.ROWS,
        "exports.stats",
        "exports",
        asked="mdt.*MDT*.exports.*.stats",
    )


def _service(template: str, param: str, name: str) -> Parameter:
    return Parameter(
        template, Shape.ROWS, param, "services", None, "service", None, labels=(("service", name),)
    )


def _locks() -> Iterator[Parameter]:
    for name, units in (
        ("contended_locks", "locks"),
        ("contention_seconds", "seconds"),
        ("ctime_age_limit", "seconds"),
        ("early_lock_cancel", "bool"),
        ("lock_count", "locks"),
        ("lock_timeouts", "count"),
        ("lock_unused_count", "locks"),
        ("lru_max_age", "ms"),
        ("lru_size", "locks"),
        ("max_nolock_bytes", "bytes"),
        ("max_parallel_ast", "count"),
        ("resource_count", "count"),
    ):
        yield Parameter(
            f"ldlm.namespaces.{{role}}-{{target}}_UUID.{name}",
            Shape.NUMBER,
            name,
            "ldlm",
            units,
            asked=f"ldlm.namespaces.{{mdt-,filter-}}*.{name}",
        )
    for name in ("ldlm_canceld", "ldlm_cbd"):
        yield _service(f"ldlm.services.{name}.stats", "ldlm", name)


def _others() -> Iterator[Parameter]:
    yield Parameter("llite.{target}.stats", Shape.ROWS, "llite.stats", "llite", None, "client")
    yield Parameter("mdd.{target}.changelog_users", Shape.CHANGELOG, "changelog_users", "changelog")
    for short, name in (("usr", "user"), ("prj", "project"), ("grp", "group")):
        yield Parameter(
            f"qmt.{{target}}.{{manager}}-{{pool}}.glb-{short}",
            Shape.LIMITS,
            f"glb-{short}",
            "quota",
            kind="quota",
            asked=f"qmt.*.{{dt,md,lqa-dt,lqa-md}}-*.glb-{short}",
            labels=(("accounting", name),),
        )
    for name in ("dt_stats", "md_stats"):
        yield Parameter(
            f"nodemap.{{target}}.{name}", Shape.ROWS, f"nodemap.{name}", "nodemap", None, "nodemap"
        )
    for tree, target in (("obdfilter", "*OST*"), ("mdt", "*MDT*")):
        yield Parameter(
            f"{tree}.{{target}}.recovery_status",
            Shape.RECOVERY,
            "recovery_status",
            "recovery",
            asked=f"{tree}.{target}.recovery_status",
        )


def _extended() -> Iterator[Parameter]:
    def more(
        template: str, shape: Shape, param: str, group: str, units: str | None, kind: Kind | None
    ) -> Parameter:
        return Parameter(template, shape, param, group, units, kind, extended=True)

    yield more("version", Shape.TEXT, "version", "host", "text", "host")
    clients = "connected_clients"
    yield more(
        "obdfilter.{target}.exports.{nid}.uuid", Shape.UUIDS, clients, "clients", "count", None
    )
    yield more("mgs.{target}.exports.{nid}.uuid", Shape.UUIDS, clients, "clients", "count", "mgt")
    yield more("mgs.{target}.live.{fsname}", Shape.FSNAME, "fsnames", "mgs", None, "mgt")
    for tree in ("obdfilter", "mdt"):
        for name, units in (("eviction_count", "count"), ("job_cleanup_interval", "seconds")):
            yield more(f"{tree}.{{target}}.{name}", Shape.NUMBER, name, "clients", units, None)
    for tree in ("osc", "mdc"):
        yield more(f"{tree}.{{target}}.state", Shape.STATE, "state", "imports", None, "osc")
        yield more(f"{tree}.{{target}}.stats", Shape.ROWS, f"{tree}.stats", "rpc", None, "osc")
        yield more(f"{tree}.{{target}}.rpc_stats", Shape.BRW, "rpc_stats", "rpc", None, "osc")
    pool = "ldlm.namespaces.{role}-{target}_UUID.pool."
    yield more(pool + "stats", Shape.ROWS, "pool.stats", "ldlm_pool", None, None)
    for name in ("granted", "limit"):
        yield more(pool + name, Shape.NUMBER, f"pool.{name}", "ldlm_pool", "locks", None)
    # Never asked for here: job_stats is a stream of its own, but a pasted dump may hold it.
    for tree in ("obdfilter", "mdt"):
        yield Parameter(f"{tree}.{{target}}.job_stats", Shape.JOBS, "job_stats", "jobs", asked="")


PARAMETERS: tuple[Parameter, ...] = tuple(_table())
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(p.group for p in PARAMETERS if p.group != "jobs"))


def asked_patterns(groups: frozenset[str] | None = None, *, extended: bool = True) -> list[str]:
    """Return the arguments for ``lctl get_param``; ``groups`` limits them, ``None`` is all."""
    wanted = (
        p.pattern
        for p in PARAMETERS
        if p.asked != "" and (groups is None or p.group in groups) and (extended or not p.extended)
    )
    return list(dict.fromkeys(wanted))


def _index() -> dict[tuple[str, str], list[Parameter]]:
    index: dict[tuple[str, str], list[Parameter]] = {}
    for parameter in PARAMETERS:
        parts = parameter.template.split(".")
        tree = "osd" if parts[0].startswith("osd-") else parts[0]
        last = "" if parts[-1].startswith("{") else parts[-1]
        index.setdefault((tree, last), []).append(parameter)
    return index


_BY_ENDS = _index()


def find(key: str) -> Match | None:
    """Return what a key means, or ``None`` for a key nobody knows."""
    tree, _, rest = key.partition(".")
    tree = "osd" if tree.startswith("osd-") else tree
    last = rest.rpartition(".")[2] if rest else tree
    for parameter in (*_BY_ENDS.get((tree, last), ()), *_BY_ENDS.get((tree, ""), ())):
        match = parameter.key.match(key)
        if match is not None:
            return Match(parameter, match.groupdict())
    return None
