"""Reads the collector's JSON back into records: the exposition's input in some recorded cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emf_plugins_lustre.stats.records import (
    Bucket,
    Changelog,
    ChangelogUser,
    Header,
    Health,
    Histogram,
    Histograms,
    Kind,
    QuotaLimits,
    QuotaUsage,
    Record,
    Recovery,
    Row,
    Rows,
)
from emf_plugins_lustre.stats.tagged_json import (
    ACCOUNTING,
    HOST,
    LDLM,
    LNET,
    RECOVERY_FIELDS,
    RECOVERY_WORDS,
    TARGET,
)

Json = dict[str, Any]
_ACCOUNTING = {short: name for name, short in ACCOUNTING.items()}
_KINDS: dict[str, Kind] = {"Ost": "ost", "Mdt": "mdt", "Mgt": "mgt"}


def records_from_json(items: list[Json]) -> Iterator[Record]:
    """Yield a record for each tagged object; the values of a recovery come one by one."""
    for item in items:
        ((group, tagged),) = item.items()
        ((tag, body),) = tagged.items()
        yield _READERS[group](tag, body)


def _host(tag: str, body: Json) -> Record:
    if tag == "HealthCheck":
        value = body["value"]
        return Record(
            "host", None, "health_check", Health(value["healthy"], tuple(value["targets"]))
        )
    return Record("host", None, _back(HOST, tag), body["value"])


def _lnet(tag: str, body: Json) -> Record:
    labels = {"nid": body["nid"]} if "nid" in body else {}
    return Record("lnet", None, _back(LNET, tag), body["value"], labels=labels)


def _service(tag: str, body: list[Any]) -> Record:
    labels = {"service": _back(LDLM, tag)}
    return Record("service", None, "ldlm", _rows(body[1]), labels=labels, header=_header(body[0]))


def _target(tag: str, body: Json) -> Record:
    if tag in {"Oss", "Mds"}:
        labels = {"service": body["param"]}
        return Record("service", None, tag.lower(), _rows(body["stats"]), labels=labels)
    if tag == "Llite":
        header = _header(body.get("header"))
        return Record("client", body["target"], "llite.stats", _rows(body["stats"]), header=header)
    if tag == "QuotaStats":
        return _limits(body)
    kind, target, value = _KINDS[body["kind"]], body["target"], body["value"]
    if tag == "Stats":
        return Record(kind, target, "stats", _rows(value), header=_header(body.get("header")))
    if tag == "BrwStats":
        sections = tuple(_histogram(section) for section in value)
        header = _header(body.get("header"))
        return Record(kind, target, "brw_stats", Histograms(sections), header=header)
    if tag == "ExportStats":
        (export,) = value
        labels = {"nid": export["nid"]}
        return Record(kind, target, "exports.stats", _rows(export["stats"]), labels=labels)
    if tag == "QuotaStatsOsd":
        return _usage(kind, target, value)
    if tag == "Changelog":
        users = tuple(
            ChangelogUser(user["user"], user["index"], user["idle_secs"]) for user in value["users"]
        )
        changelog = Changelog(value["current_index"], users)
        return Record(kind, target, "changelog_users", changelog)
    if tag == "RecoveryStatus":
        status = next((s for s, word in RECOVERY_WORDS.items() if word == value), "?")
        return Record(kind, target, "recovery_status", Recovery(status, {}))
    if tag in RECOVERY_FIELDS.values():
        fields = {_back(RECOVERY_FIELDS, tag): value}
        return Record(kind, target, "recovery_status", Recovery("", fields))
    if tag == "FsNames":
        return Record(kind, target, "fsnames", str(value))
    return Record(kind, target, _back(TARGET, tag), value)


_READERS: dict[str, Any] = {
    "Host": _host,
    "LNetStat": _lnet,
    "LustreService": _service,
    "Target": _target,
}


def _back(table: dict[str, str], tag: str) -> str:
    return next(param for param, found in table.items() if found == tag)


def _rows(rows: list[Json]) -> Rows:
    return Rows(
        tuple(
            Row(r["name"], r["units"], r["samples"], r["min"], r["max"], r["sum"], r["sumsquare"])
            for r in rows
        )
    )


def _header(header: Json | None) -> Header | None:
    return None if header is None else Header(header["snapshot_time"], header["start_time"])


def _histogram(section: Json) -> Histogram:
    buckets = tuple(Bucket(b["name"], b["read"], b["write"]) for b in section["buckets"])
    return Histogram(section["name"], section["unit"], buckets)


def _limits(body: Json) -> Record:
    stats = body["value"]["stats"]
    limits = QuotaLimits(
        [s["id"] for s in stats],
        *([s["limits"][name] for s in stats] for name in ("hard", "soft", "granted", "time")),
    )
    labels = {"accounting": _ACCOUNTING[body["value"]["kind"]], "manager": body["manager"]}
    labels |= {"tenant": body["tenant"]} if body.get("tenant") else {"pool": body["pool"]}
    return Record("quota", body["target"], f"glb-{body['param']}", limits, labels=labels)


def _usage(kind: Kind, target: str, value: Json) -> Record:
    stats = value["stats"]
    usage = QuotaUsage(
        [s["id"] for s in stats],
        [s["usage"]["inodes"] for s in stats],
        [s["usage"]["kbytes"] for s in stats],
    )
    accounting = _ACCOUNTING[value["kind"]]
    labels = {"accounting": accounting}
    return Record(kind, target, f"quota_slave.acct_{accounting}", usage, labels=labels)
