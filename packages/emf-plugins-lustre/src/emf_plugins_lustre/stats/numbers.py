"""Numbers as the kernel prints them: unsigned decimals, sizes with K, M, G, times, ids."""

from __future__ import annotations

import re

__all__ = ["count", "epoch_text", "identity", "scaled"]

# A 64-bit counter has 20 digits; longer ones cost quadratic time to convert and mean nothing.
MOST_DIGITS = 40
_SCALES = {b"K": 1 << 10, b"M": 1 << 20, b"G": 1 << 30, b"T": 1 << 40}
_TIME = re.compile(rb"\d{1,20}(?:\.\d{1,20})?\Z")


def count(text: bytes) -> int | None:
    """Return an unsigned number, or ``None`` where it is negative or no number at all."""
    if text.isdigit() and len(text) <= MOST_DIGITS:
        return int(text)
    return None


def identity(text: bytes) -> int | None:
    """Return a numeric id, decimal or hexadecimal with ``0x``; ``None`` if it is neither."""
    if text[:2] in {b"0x", b"0X"} and len(text) <= MOST_DIGITS:
        try:
            return int(text, 16)
        except ValueError:
            return None
    return count(text)


def scaled(text: bytes) -> int | None:
    """Return a size with a suffix K, M, G or T (powers of 1024, either case)."""
    factor = _SCALES.get(text[-1:].upper())
    if factor is None:
        return count(text)
    number = count(text[:-1])
    return None if number is None else number * factor


def epoch_text(text: bytes) -> str | None:
    """Return ``seconds`` or ``seconds.fraction`` as text; ``None`` if it is no time."""
    return text.decode("ascii") if _TIME.match(text) else None
