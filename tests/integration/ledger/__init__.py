"""The ledger on a real PostgreSQL: history, levels as of an instant, entries."""
