"""How often one address may be wrong before it has to wait; no clock inside."""

from __future__ import annotations

from collections import deque
from ipaddress import IPv6Address, ip_address

__all__ = ["WrongTries", "network"]

WINDOW_S = 60.0
PER_ADDRESS = 10
REMEMBERED = 10_000


class WrongTries:
    """The wrong tries of the last minute; times are monotonic seconds."""

    def __init__(self) -> None:
        self._tries: deque[tuple[float, str]] = deque(maxlen=REMEMBERED)

    def wait_s(self, address: str, now: float) -> float:
        """Return how long this address has to wait; 0 when it may try."""
        self._forget(now)
        times = [at for at, who in self._tries if who == network(address)]
        return times[-PER_ADDRESS] + WINDOW_S - now if len(times) >= PER_ADDRESS else 0.0

    def note(self, address: str, now: float) -> None:
        """Count a wrong try."""
        self._forget(now)
        self._tries.append((now, network(address)))

    def _forget(self, now: float) -> None:
        while self._tries and self._tries[0][0] <= now - WINDOW_S:
            self._tries.popleft()


def network(address: str) -> str:
    """Return what counts as one address: all of an IPv6 /64, which one host may have."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address
