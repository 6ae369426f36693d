"""Panels: what a daemon's page shows of its value; chosen by its name, drawn by one template."""
