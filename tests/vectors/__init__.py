"""The wire's test vectors: data files that both sides' tests read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def vectors(file: str, kind: str = "vectors") -> list[Any]:
    """Return the vectors of one kind: ``vectors``, ``accepted``, ``refused`` or ``unreadable``."""
    found: list[Any] = json.loads((HERE / f"{file}.json").read_text())[kind]
    return found


def names(found: list[Any]) -> list[str]:
    """Return their names, as test ids."""
    return [str(vector["name"]) for vector in found]
