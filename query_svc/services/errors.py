"""Errors that several queries answer with."""

from __future__ import annotations

from inventory.type.v1 import error_reason_pb2
from inventory.type.v1.error_reason_pb2 import ErrorReason
from serving.errors import CallError


def item_not_found(sku: str) -> CallError:
    """Return the error for an unknown SKU."""
    return _there_is_no("item", sku, error_reason_pb2.ERROR_REASON_ITEM_NOT_FOUND, "sku")


def level_not_found(sku: str, location_id: str) -> CallError:
    """Return the error for a level that has never been, or not by then."""
    return CallError(
        error_reason_pb2.ERROR_REASON_LEVEL_NOT_FOUND,
        f"{sku} has never been stocked at {location_id}",
        metadata={"sku": sku, "location_id": location_id},
    )


def location_not_found(location_id: str) -> CallError:
    """Return the error for an unknown location."""
    return _there_is_no("location", location_id, error_reason_pb2.ERROR_REASON_LOCATION_NOT_FOUND)


def reservation_not_found(reservation_id: str) -> CallError:
    """Return the error for an unknown reservation."""
    return _there_is_no("reservation", reservation_id, error_reason_pb2.ERROR_REASON_RESERVATION_NOT_FOUND)


def order_not_found(order_id: str) -> CallError:
    """Return the error for an unknown order."""
    return _there_is_no("order", order_id, error_reason_pb2.ERROR_REASON_ORDER_NOT_FOUND)


def transfer_not_found(transfer_id: str) -> CallError:
    """Return the error for an unknown transfer."""
    return _there_is_no("transfer", transfer_id, error_reason_pb2.ERROR_REASON_TRANSFER_NOT_FOUND)


def _there_is_no(kind: str, name: str, reason: ErrorReason.ValueType, key: str = "") -> CallError:
    return CallError(reason, f"there is no {kind} {name}", metadata={key or f"{kind}_id": name})
