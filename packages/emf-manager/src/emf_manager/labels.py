"""Labels: what an admin says of a node, as NAME=VALUE; each one is a group, ``@rack=r1``. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from emf_agent.errors import UsageError

__all__ = ["LABEL", "LABEL_NAME", "LABEL_VALUE", "MOST_LABELS", "changed"]

LABEL_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,62}[A-Za-z0-9])?"
LABEL_VALUE = r"[A-Za-z0-9._/-]{1,128}"
LABEL = re.compile(f"({LABEL_NAME})=({LABEL_VALUE})")
GOES = re.compile(f"({LABEL_NAME})-")
MOST_LABELS = 64
"""Of one node."""


def changed(labels: Mapping[str, str], words: Iterable[str]) -> dict[str, str]:
    """Return labels with ``NAME=VALUE`` set and ``NAME-`` taken away, one after the other.

    Raises:
        UsageError: a word is neither, or takes away what is not there.

    """
    new = dict(labels)
    for word in words:
        if found := LABEL.fullmatch(word):
            new[found[1]] = found[2]
        elif goes := GOES.fullmatch(word):
            if new.pop(goes[1], None) is None:
                has = ", ".join(sorted(labels)) or "none"
                raise UsageError(f"there is no label {goes[1]!r} to take away (labels: {has})")
        else:
            raise UsageError(
                f"{word[:80]!r} is neither NAME=VALUE nor NAME-; both are of letters, digits and "
                "any of . _ / -, and a name begins and ends with a letter or digit"
            )
    return new
