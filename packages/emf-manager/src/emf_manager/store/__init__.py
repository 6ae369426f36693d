"""Where the manager keeps what it must not lose: one narrow interface over SQL."""
