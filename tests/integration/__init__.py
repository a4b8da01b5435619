"""Tests that need the real stack."""
