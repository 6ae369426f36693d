"""LNet: the YAML that ``lnetctl net show``, ``stats show``, ``global show``, ``peer show`` print.

Small documents, so a YAML library reads them; a line it trips over is taken out, noted, and
the rest is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.records import Record

__all__ = ["read_lnet"]

MOST_BAD_LINES = 16
CONFIGURATION = {"route", "routing", "buffers", "numa", "discovery", "udsp", "max_interfaces"}
LARGEST_DOCUMENT = 64 * 1024 * 1024
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNITS = {"send_length": "bytes", "recv_length": "bytes", "drop_length": "bytes"}


def read_lnet(document: bytes, losses: Losses) -> Iterator[Record]:
    """Yield a record for each number in any of the four documents.

    ``param`` is the path below the interface or node, such as ``net.statistics.send_count``
    or ``stats.send_length``; interfaces and peers carry their ``nid`` as a label.
    """
    root = _load(document, losses)
    if not isinstance(root, Mapping):
        if root is not None:
            losses.note("lnetctl", 1, "not a map")
        return
    for key, body in root.items():
        if key in {"net", "peer"}:
            for member in _maps(body):
                inner = "local NI(s)" if key == "net" else "peer ni"
                labels = (
                    {"primary_nid": str(member["primary nid"])}
                    if key == "peer" and ("primary nid" in member)
                    else {}
                )
                for interface in _maps(member.get(inner)):
                    yield from _interface(key, interface, labels)
        elif key == "statistics" and isinstance(body, Mapping):
            yield from _numbers("stats", body, {})
        elif key == "global" and isinstance(body, Mapping):
            yield from _numbers("global", body, {})
        elif key == "show" or key in CONFIGURATION or body is None:
            continue  # LNet is down: "show: - net: {errno: -100, ...}" is no record and no loss
        else:
            losses.note("lnetctl", 1, "unknown section", str(key).encode("utf-8", "replace"))


def _interface(key: str, interface: Mapping[Any, Any], labels: dict[str, str]) -> Iterator[Record]:
    nid = interface.get("nid")
    if nid is None:
        return
    status = interface.get("status", interface.get("state"))
    named = {**labels, "nid": str(nid)}
    if isinstance(status, str):
        yield Record("lnet", None, f"{key}.status", status, "text", named)
    for name, value in interface.items():
        if isinstance(value, Mapping) and name != "interfaces":
            yield from _numbers(f"{key}.{_word(name)}", value, named)


def _numbers(path: str, body: Mapping[Any, Any], labels: dict[str, str]) -> Iterator[Record]:
    for name, value in body.items():
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            word = _word(name)
            yield Record(
                "lnet", None, f"{path}.{word}", value, _UNITS.get(word, "count"), dict(labels)
            )


def _word(name: object) -> str:
    return str(name).replace(" ", "_")


def _maps(body: object) -> Iterator[Mapping[Any, Any]]:
    if isinstance(body, Sequence) and not isinstance(body, str):
        for item in body:
            if isinstance(item, Mapping):
                yield item


def _load(document: bytes, losses: Losses) -> object:
    if len(document) > LARGEST_DOCUMENT:
        losses.note("lnetctl", 1, "document too large")
        return None
    lines = _printable(document).split("\n")
    for _ in range(MOST_BAD_LINES):
        try:
            loaded: object = yaml.load("\n".join(lines), Loader=_LOADER)  # noqa: S506 - a safe loader
        except yaml.MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            at = min(mark.line if mark is not None else 0, len(lines) - 1)
            while at > 0 and not lines[at].strip():
                at -= 1
            losses.note("lnetctl", at + 1, "unreadable line", lines[at].encode())
            lines[at] = ""
        except (yaml.YAMLError, ValueError, RecursionError) as exc:
            losses.note("lnetctl", 1, "unreadable document", str(exc).encode())
            return None
        else:
            return loaded
    losses.note("lnetctl", 1, "too many unreadable lines")
    return None


def _printable(document: bytes) -> str:
    text = document.decode("utf-8", "replace").replace("\r\n", "\n").replace("\t", "    ")
    return "".join(
        ch if ch == "\n" or ch.isprintable() else "\N{REPLACEMENT CHARACTER}" for ch in text
    )
