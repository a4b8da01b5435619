"""What a call says of itself on its way, for whoever passes it on."""

from __future__ import annotations

import re

from google.protobuf.message import Message

ITEM_KEY = "x-inventory-item"
"""The metadata that names the item of a command: proxies bring commands for one item to one writer."""
CALL_KEY = "x-request-id"
"""The metadata that names a call, the same in all its attempts: logs and the audit log have it."""

# What the contracts take for a SKU; what is none is refused by the service, and could not be sent here.
_SKU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}")


def item_of(command: Message) -> str:
    """Return the SKU that a command is about, that of its first line or command where it has several.

    Empty where it names none, as one that confirms a reservation whole, or none that a SKU can be.
    """
    fields = command.DESCRIPTOR.fields_by_name
    if "sku" in fields:
        sku = str(getattr(command, "sku"))  # noqa: B009 - it has one, though its type here does not say so
        return sku if _SKU.fullmatch(sku) else ""
    for several in ("lines", "commands"):
        if several in fields:
            parts = getattr(command, several)
            return item_of(parts[0]) if parts else ""
    if "command" in command.DESCRIPTOR.oneofs_by_name:
        chosen = command.WhichOneof("command")
        return item_of(getattr(command, chosen)) if chosen else ""
    return ""
