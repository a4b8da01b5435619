"""Why a command is refused. A refused command has changed nothing.

Refusal
├── ItemNotFoundError
├── LocationNotFoundError
├── ItemAlreadyExistsError
├── LocationAlreadyExistsError
├── ItemNotStockedError
├── InsufficientStockError
├── QuantityOutOfRangeError
├── RequestIdReusedError
├── VersionMismatchError
├── BackordersOutstandingError
├── ReservationNotFoundError
├── ReservationExpiredError
├── ReservationResolvedError
└── ExceedsReservationError
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from command_svc.domain.levels import MAX_QUANTITY, LevelKey


class Refusal(Exception):  # noqa: N818 - the domain's own word; its kinds end in Error
    """A command that cannot be carried out.

    `reason` is a name of the published ErrorReason enum without its prefix; `figures` are the facts
    behind it, by the names that the enum documents.
    """

    reason: ClassVar[str]

    def __init__(self, message: str, **figures: object) -> None:
        super().__init__(message)
        self.figures = {name: str(value) for name, value in figures.items()}


class ItemNotFoundError(Refusal):
    """No item has the SKU."""

    reason = "ITEM_NOT_FOUND"

    def __init__(self, sku: str) -> None:
        super().__init__(f"there is no item {sku}: create it first", sku=sku)


class LocationNotFoundError(Refusal):
    """No location has the id."""

    reason = "LOCATION_NOT_FOUND"

    def __init__(self, location_id: str) -> None:
        super().__init__(f"there is no location {location_id}: create it first", location_id=location_id)


class ItemAlreadyExistsError(Refusal):
    """Another item has the SKU."""

    reason = "ITEM_ALREADY_EXISTS"

    def __init__(self, sku: str) -> None:
        super().__init__(f"there is already an item {sku}", sku=sku)


class LocationAlreadyExistsError(Refusal):
    """Another location has the id."""

    reason = "LOCATION_ALREADY_EXISTS"

    def __init__(self, location_id: str) -> None:
        super().__init__(f"there is already a location {location_id}", location_id=location_id)


class ItemNotStockedError(Refusal):
    """The item's kind is not counted."""

    reason = "ITEM_NOT_STOCKED"

    def __init__(self, sku: str, kind: str) -> None:
        super().__init__(f"item {sku} is {kind.lower()}: it has no stock", sku=sku, kind=kind)


class InsufficientStockError(Refusal):
    """Fewer units are free than the command asks for."""

    reason = "INSUFFICIENT_STOCK"

    def __init__(self, key: LevelKey, requested: int, available: int) -> None:
        super().__init__(
            f"{available} of {key.sku} are available{f' at {key.location_id}' if key.location_id else ''}, "
            f"{requested} were requested",
            sku=key.sku,
            location_id=key.location_id,
            requested=requested,
            available=available,
        )


class QuantityOutOfRangeError(Refusal):
    """The level would pass the largest quantity kept."""

    reason = "QUANTITY_OUT_OF_RANGE"

    def __init__(self, key: LevelKey, requested: int, on_hand: int) -> None:
        super().__init__(
            f"{on_hand} of {key.sku} are on hand at {key.location_id}: {requested} more would pass the limit "
            f"of {MAX_QUANTITY}",
            sku=key.sku,
            location_id=key.location_id,
            requested=requested,
            on_hand=on_hand,
            limit=MAX_QUANTITY,
        )


class RequestIdReusedError(Refusal):
    """The request id belongs to an earlier, different command."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request id {request_id} was used for another command: give each command its own",
            request_id=request_id,
        )


class VersionMismatchError(Refusal):
    """The level has changed since the caller read it."""

    reason = "VERSION_MISMATCH"

    def __init__(self, key: LevelKey, expected: int, actual: int) -> None:
        super().__init__(
            f"the level of {key.sku} at {key.location_id} is at version {actual}, not {expected}: "
            "read it again, then decide",
            sku=key.sku,
            location_id=key.location_id,
            expected_version=expected,
            version=actual,
        )


class BackordersOutstandingError(Refusal):
    """The backorder limit would fall below what is backordered already."""

    reason = "BACKORDERS_OUTSTANDING"

    def __init__(self, key: LevelKey, requested: int, backordered: int) -> None:
        super().__init__(
            f"{backordered} of {key.sku} are backordered at {key.location_id}: "
            f"the limit cannot be {requested}",
            sku=key.sku,
            location_id=key.location_id,
            requested=requested,
            backordered=backordered,
        )


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
