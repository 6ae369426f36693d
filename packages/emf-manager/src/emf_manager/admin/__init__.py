"""Commands of emf-manager on a data directory, also while a server runs on it."""
