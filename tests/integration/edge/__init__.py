"""Tests of what the edge does alone, whoever is behind it."""
