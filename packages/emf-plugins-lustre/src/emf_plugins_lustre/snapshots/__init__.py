"""Snapshots of file systems."""
