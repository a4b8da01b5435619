"""The upkeep of the schema on the real database."""
