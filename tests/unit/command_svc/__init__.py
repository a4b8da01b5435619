"""The command side, without a database."""
