"""How fresh an answer is, and where it comes from."""
