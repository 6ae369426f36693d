"""How property tests run where others keep the machine busy: fewer examples, no deadline."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

__all__ = ["unhurried"]

unhurried = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
