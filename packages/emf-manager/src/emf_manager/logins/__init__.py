"""Signing in with a browser: how long a login lasts, what a password is kept as, and the book."""
