"""Recorded samples of our own, and the corpus of others where a machine has it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from emf_plugins_lustre.stats.dump import read_dump
from emf_plugins_lustre.stats.exposition_compat import CompatExposition
from emf_plugins_lustre.stats.exposition_text import END
from emf_plugins_lustre.stats.lnet import read_lnet
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.records import Record

RECORDED = Path(__file__).parent / "recorded"


def corpus_folder() -> Path | None:
    """Return the folder of the Lustre corpus, or None on a machine without it."""
    named = os.environ.get("EMF_CORPUS")
    root = Path(named) if named else Path(__file__).parents[4] / "shared" / "corpus"
    folder = root / "lustre"
    return folder if folder.is_dir() else None


def records_of(text: bytes, losses: Losses | None = None) -> list[Record]:
    """Read an output of lctl in one piece."""
    return list(read_dump([text], losses or Losses()))


def lnet_of(text: bytes, losses: Losses | None = None) -> list[Record]:
    """Read an output of lnetctl."""
    return list(read_lnet(text, losses or Losses()))


def one(text: str) -> Record:
    """Read an output that holds exactly one record."""
    (record,) = records_of(text.encode())
    return record


def compat_text(records: Iterable[Record]) -> str:
    """Return the compatible exposition of records."""
    exposition = CompatExposition()
    exposition.add_all(records)
    return "".join(exposition.families.text()) + END
