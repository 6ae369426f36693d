"""The operators' side: REST under /api/v1, the only way in for ``emf`` and the web page."""
