"""Change data capture: what carries every commit from PostgreSQL to its readers."""
