"""What needs no database of the audit log."""
