"""Tests mirror the packages; what spans them is in ``together``."""
