"""What the daemons said over time."""
