"""The receiver of the refusals that proxies make: their access logs become entries of the audit log."""
