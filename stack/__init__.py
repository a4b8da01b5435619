"""The local stack: everything Inventory stands on, run side by side on one machine without containers."""
