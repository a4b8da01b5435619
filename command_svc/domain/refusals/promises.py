"""Refusals about reservations, orders and transfers."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from command_svc.domain.levels import LevelKey
from command_svc.domain.refusals.refusal import Refusal


class ReservationNotFoundError(Refusal):
    """No reservation has the id."""

    reason = "RESERVATION_NOT_FOUND"

    def __init__(self, reservation_id: UUID) -> None:
        super().__init__(f"there is no reservation {reservation_id}", reservation_id=reservation_id)


class ReservationExpiredError(Refusal):
    """The reservation ran out of time before the command was decided."""

    reason = "RESERVATION_EXPIRED"

    def __init__(self, reservation_id: UUID, expire_time: datetime) -> None:
        super().__init__(
            f"reservation {reservation_id} expired at {expire_time.isoformat()}: reserve again",
            reservation_id=reservation_id,
            expire_time=expire_time.isoformat(),
        )


class ReservationResolvedError(Refusal):
    """The reservation has been confirmed or cancelled already."""

    reason = "RESERVATION_RESOLVED"

    def __init__(self, reservation_id: UUID, state: str) -> None:
        super().__init__(
            f"reservation {reservation_id} is {state.lower()} already",
            reservation_id=reservation_id,
            state=state,
        )


class ExceedsReservationError(Refusal):
    """The confirmation names more units of a level than the reservation still holds."""

    reason = "EXCEEDS_RESERVATION"

    def __init__(self, reservation_id: UUID, key: LevelKey, requested: int, held: int) -> None:
        super().__init__(
            f"reservation {reservation_id} holds {held} of {key.sku} at {key.location_id}, "
            f"{requested} were to be confirmed",
            reservation_id=reservation_id,
            sku=key.sku,
            location_id=key.location_id,
            requested=requested,
            held=held,
        )


class OrderNotFoundError(Refusal):
    """No order has the id."""

    reason = "ORDER_NOT_FOUND"

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"there is no order {order_id}", order_id=order_id)


class OrderClosedError(Refusal):
    """Every unit of the order has been shipped or cancelled already."""

    reason = "ORDER_CLOSED"

    def __init__(self, order_id: UUID, state: str) -> None:
        super().__init__(f"order {order_id} is {state.lower()} already", order_id=order_id, state=state)


class ExceedsOrderError(Refusal):
    """The command names more units than the order has left for it."""

    reason = "EXCEEDS_ORDER"

    def __init__(self, order_id: UUID, key: LevelKey, requested: int, left: int) -> None:
        place = f" at {key.location_id}" if key.location_id else ""
        super().__init__(
            f"order {order_id} has {left} of {key.sku}{place} left for this, {requested} were named",
            order_id=order_id,
            sku=key.sku,
            location_id=key.location_id,
            requested=requested,
            left=left,
        )


class TransferNotFoundError(Refusal):
    """No transfer has the id."""

    reason = "TRANSFER_NOT_FOUND"

    def __init__(self, transfer_id: UUID) -> None:
        super().__init__(f"there is no transfer {transfer_id}", transfer_id=transfer_id)


class TransferResolvedError(Refusal):
    """The transfer has been received or cancelled already."""

    reason = "TRANSFER_RESOLVED"

    def __init__(self, transfer_id: UUID, state: str) -> None:
        super().__init__(
            f"transfer {transfer_id} is {state.lower()} already", transfer_id=transfer_id, state=state
        )


class ExceedsTransferError(Refusal):
    """More units are said to have arrived than are under way."""

    reason = "EXCEEDS_TRANSFER"

    def __init__(self, transfer_id: UUID, sku: str, lot_id: str, requested: int, left: int) -> None:
        lot = f" of lot {lot_id}" if lot_id else ""
        super().__init__(
            f"{left} of {sku}{lot} are under way with transfer {transfer_id}, {requested} were named",
            transfer_id=transfer_id,
            sku=sku,
            **({"lot_id": lot_id} if lot_id else {}),
            requested=requested,
            left=left,
        )
