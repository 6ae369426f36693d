"""Plugins of every storage node: what a node is, apart from Lustre."""
