"""Alerts: what somebody has to look at, as rules without a clock, a socket or a task."""
