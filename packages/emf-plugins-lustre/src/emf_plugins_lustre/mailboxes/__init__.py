"""The way of lines to the mailboxes and reports of the manager."""
