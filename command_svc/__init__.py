"""The command side: decides every change of stock and catalogue and commits it to PostgreSQL."""
