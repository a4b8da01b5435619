"""The typed client, against a server in this process."""
