"""The RPCs: from messages of the contract to commands of the domain, and back."""
