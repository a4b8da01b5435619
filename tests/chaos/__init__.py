"""Processes killed under load, on the real stack."""
