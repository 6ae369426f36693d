"""Plans: a document of jobs that need each other; everything about them that needs no store."""
