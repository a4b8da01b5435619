"""Errors that several queries answer with."""

from __future__ import annotations

from inventory.type.v1 import error_reason_pb2
from serving.errors import CallError


def item_not_found(sku: str) -> CallError:
    """Return the error for an unknown SKU."""
    return CallError(
        error_reason_pb2.ERROR_REASON_ITEM_NOT_FOUND, f"there is no item {sku}", metadata={"sku": sku}
    )


def level_not_found(sku: str, location_id: str) -> CallError:
    """Return the error for a level that has never been, or not by then."""
    return CallError(
        error_reason_pb2.ERROR_REASON_LEVEL_NOT_FOUND,
        f"{sku} has never been stocked at {location_id}",
        metadata={"sku": sku, "location_id": location_id},
    )


def location_not_found(location_id: str) -> CallError:
    """Return the error for an unknown location."""
    return CallError(
        error_reason_pb2.ERROR_REASON_LOCATION_NOT_FOUND,
        f"there is no location {location_id}",
        metadata={"location_id": location_id},
    )


def reservation_not_found(reservation_id: str) -> CallError:
    """Return the error for an unknown reservation."""
    return CallError(
        error_reason_pb2.ERROR_REASON_RESERVATION_NOT_FOUND,
        f"there is no reservation {reservation_id}",
        metadata={"reservation_id": reservation_id},
    )


def order_not_found(order_id: str) -> CallError:
    """Return the error for an unknown order."""
    return CallError(
        error_reason_pb2.ERROR_REASON_ORDER_NOT_FOUND,
        f"there is no order {order_id}",
        metadata={"order_id": order_id},
    )


def transfer_not_found(transfer_id: str) -> CallError:
    """Return the error for an unknown transfer."""
    return CallError(
        error_reason_pb2.ERROR_REASON_TRANSFER_NOT_FOUND,
        f"there is no transfer {transfer_id}",
        metadata={"transfer_id": transfer_id},
    )
