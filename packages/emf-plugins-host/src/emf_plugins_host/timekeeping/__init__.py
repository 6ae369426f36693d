"""The room of time: who keeps it, how well, and from which servers."""
