"""Measurements. Each module prints its table; none is a test."""
