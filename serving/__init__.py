"""What every Inventory service stands on: settings, logs, errors, calls, health, the server itself."""
