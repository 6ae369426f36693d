"""Plugins of Lustre servers and clients."""
