"""A third-party plugin: one action, one daemon."""
