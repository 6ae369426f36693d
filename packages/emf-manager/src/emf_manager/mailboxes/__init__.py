"""Lines that nodes push outside their sessions: mailboxes and reports, kept in files."""
