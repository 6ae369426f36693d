"""The room of what this machine is, and how it fares."""
