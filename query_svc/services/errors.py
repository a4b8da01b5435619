"""Errors that several queries answer with."""

from __future__ import annotations

from inventory.type.v1 import error_reason_pb2
from serving.errors import CallError


def item_not_found(sku: str) -> CallError:
    """Return the error for an unknown SKU."""
    return CallError(
        error_reason_pb2.ERROR_REASON_ITEM_NOT_FOUND, f"there is no item {sku}", metadata={"sku": sku}
    )
