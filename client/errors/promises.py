"""Refusals that are about a reservation, an order or a transfer."""

from __future__ import annotations

from .error import InventoryError, NotFoundError


class ReservationNotFoundError(NotFoundError):
    """No reservation has this id. Metadata: reservation_id."""


class ReservationExpiredError(InventoryError):
    """The reservation ran out of time first. Metadata: reservation_id, expire_time."""


class ReservationResolvedError(InventoryError):
    """The reservation is confirmed or cancelled already. Metadata: reservation_id, state."""


class ExceedsReservationError(InventoryError):
    """More than is still held. Metadata: reservation_id, sku, location_id, requested, held."""


class OrderNotFoundError(NotFoundError):
    """No order has this id. Metadata: order_id."""


class OrderClosedError(InventoryError):
    """The order is fulfilled or cancelled: nothing to ship or to cancel. Metadata: order_id, state."""


class ExceedsOrderError(InventoryError):
    """More than the order has left to ship, to cancel or to return.

    Metadata: order_id, sku, location_id (empty for a return), requested, left.
    """


class TransferNotFoundError(NotFoundError):
    """No transfer has this id. Metadata: transfer_id."""


class TransferResolvedError(InventoryError):
    """The transfer is received or cancelled already. Metadata: transfer_id, state."""


class ExceedsTransferError(InventoryError):
    """More than is under way. Metadata: transfer_id, sku, lot_id (where one was named), requested, left."""
