"""The demo, without a stack."""
