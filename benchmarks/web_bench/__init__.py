"""A manager with a large simulated fleet behind its page, and a browser in front of it."""
