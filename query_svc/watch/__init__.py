"""Watching levels: one reader of the feed in each process, and all who are told by it."""
