"""The command store and its lane on a real PostgreSQL."""
