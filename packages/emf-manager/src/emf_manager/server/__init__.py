"""The manager as one process: TLS, the peer's identity, the application, beginning and end."""
