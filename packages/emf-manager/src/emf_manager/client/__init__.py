"""The program ``emf``: the operator's command line, which speaks only the manager's public API."""
