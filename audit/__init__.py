"""The audit log in PostgreSQL: entries beside the command store's own, the proof of a day, pseudonyms."""
