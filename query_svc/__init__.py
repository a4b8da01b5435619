"""The query side: answers from the read model and, for history, from the ledger."""
