"""Tests of the local stack that start none of it."""
