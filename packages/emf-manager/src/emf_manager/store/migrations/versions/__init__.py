"""Migrations of the schema, oldest first; run at start by `upgrade`."""
