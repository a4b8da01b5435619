"""The query service on a real Redis, without a database; the ledger's own tests are with the stack's."""
