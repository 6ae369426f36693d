"""The order of kernel versions, as the ancestor had it (host plugins, ``get_kernel``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import total_ordering

__all__ = ["Version"]


@total_ordering
@dataclass(frozen=True, eq=False)
class Version:
    """A version that compares by its elements: ``1.0`` = ``1.00``, ``1.0`` > ``1``."""

    text: str

    @property
    def key(self) -> tuple[tuple[tuple[int, int, str], ...], ...]:
        """Return version and release as lists of numbers and texts; numbers are above texts."""
        version, _, release = self.text.partition("-")
        return tuple(
            tuple(map(element, part.split("."))) if part else () for part in (version, release)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: Version) -> bool:
        return self.key < other.key


def element(text: str) -> tuple[int, int, str]:
    """Return what stands for an element in a comparison."""
    if text.isascii() and text.isdecimal():
        return (1, int(text), "")
    return (0, 0, text)
