"""Whether the kernel holds its clock to be synchronised: adjtimex(2), read only."""

from __future__ import annotations

import ctypes

__all__ = ["is_synchronized"]

STA_UNSYNC = 0x40
TIME_ERROR = 5


class Timex(ctypes.Structure):
    """The beginning of ``struct timex``, and room for the rest of it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def is_synchronized() -> bool | None:
    """Return what the kernel thinks, as timedatectl(1) shows it; None where it does not say.

    ``modes`` is zero: nothing is set, and no right to set anything is needed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    state = Timex()
    result = libc.adjtimex(ctypes.byref(state))
    if result < 0:
        return None
    return result != TIME_ERROR and not state.status & STA_UNSYNC
