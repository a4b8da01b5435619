"""The RPCs: from messages of the contract to the read model and the ledger, and back."""
