"""The RPCs on a real server in this process, on a store in memory."""
