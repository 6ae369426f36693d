"""The room of the journal: every entry once, in order, across sessions and restarts."""
