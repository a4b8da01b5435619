"""Tests that need no stack."""
