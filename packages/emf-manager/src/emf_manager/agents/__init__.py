"""Every agent as values: its process, its sessions, what waits for it. No clock, socket or task."""
