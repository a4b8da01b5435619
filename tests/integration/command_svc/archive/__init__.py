"""The archive of the ledger: a month leaves the database only when a file is proved to hold it."""
