"""Targets: what kind of a target a name stands for."""

from __future__ import annotations

from emf_plugins_lustre.stats.records import Kind

__all__ = ["kind_of"]

_TREES: dict[str, Kind] = {"obdfilter": "ost", "mdt": "mdt", "mgs": "mgt", "mdd": "mdt"}


def kind_of(target: str, tree: str) -> Kind | None:
    """Return the kind of a target, ``None`` where neither its name nor its tree tells.

    The part after the last dash decides (``OST0001``, ``MDT0000``); for an import of a
    server (``fs-OST0001-osc-MDT0000``) the third part from the right does.
    """
    if target.upper() == "MGS":
        return "mgt"
    parts = target.split("-")
    part = parts[-3] if tree == "osp" and len(parts) > 3 else parts[-1]
    if part.startswith("OST"):
        return "ost"
    if part.startswith("MDT"):
        return "mdt"
    return _TREES.get(tree)
