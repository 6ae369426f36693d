"""The room of systemd units: their state, their jobs, their logs."""
