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
├── ExceedsReservationError
├── ItemArchivedError
├── ItemInUseError
├── InvalidParentError
├── InvalidComponentError
├── LocationInactiveError
├── OrderNotFoundError
├── OrderClosedError
├── ExceedsOrderError
├── TransferNotFoundError
├── TransferResolvedError
├── ExceedsTransferError
├── LotRequiredError
├── LotNotTrackedError
├── LotNotFoundError
├── LotMismatchError
├── SerialAlreadyPresentError
├── SerialNotFoundError
└── SerialsRequiredError
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from command_svc.domain.levels import MAX_QUANTITY, Level, LevelKey

if TYPE_CHECKING:
    from command_svc.domain.lot import LotKey


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

    def __init__(self, key: LevelKey, requested: int, available: int, *, lot_id: str = "") -> None:
        place = f" at {key.location_id}" if key.location_id else ""
        lot = f" in lot {lot_id}" if lot_id else ""
        super().__init__(
            f"{available} of {key.sku} are available{place}{lot}, {requested} were requested",
            sku=key.sku,
            location_id=key.location_id,
            requested=requested,
            available=available,
            **({"lot_id": lot_id} if lot_id else {}),
        )


class QuantityOutOfRangeError(Refusal):
    """The level would pass the largest quantity kept."""

    reason = "QUANTITY_OUT_OF_RANGE"

    def __init__(self, level: Level, requested: int, figure: str) -> None:
        """Take which figure would pass the limit, "on_hand" or "in_transit", and by how many units."""
        key, there = level.key, getattr(level, figure)
        super().__init__(
            f"{there} of {key.sku} are {figure.replace('_', ' ')} at {key.location_id}: {requested} more "
            f"would pass the limit of {MAX_QUANTITY}",
            sku=key.sku,
            location_id=key.location_id,
            requested=requested,
            on_hand=level.on_hand,
            in_transit=level.in_transit,
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
    """What is to be changed has changed since the caller read it; `names` say what it is."""

    reason = "VERSION_MISMATCH"

    def __init__(self, what: str, expected: int, actual: int, **names: str) -> None:
        super().__init__(
            f"{what} is at version {actual}, not {expected}: read it again, then decide",
            **names,
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


class ItemArchivedError(Refusal):
    """The item takes no new stock and no new promises."""

    reason = "ITEM_ARCHIVED"

    def __init__(self, sku: str) -> None:
        super().__init__(f"item {sku} is archived: it takes no new stock or promises", sku=sku)


class ItemInUseError(Refusal):
    """Stock or promises of the item remain; `figures` are their sums over all locations."""

    reason = "ITEM_IN_USE"

    def __init__(self, sku: str, figures: Mapping[str, int]) -> None:
        left = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in figures.items() if count)
        super().__init__(f"item {sku} cannot be archived: {left} remain", sku=sku, **figures)


class InvalidParentError(Refusal):
    """The item cannot be a variant of that parent."""

    reason = "INVALID_PARENT"

    def __init__(self, sku: str, parent_sku: str, why: str) -> None:
        super().__init__(
            f"item {sku} cannot be a variant of {parent_sku}: {why}", sku=sku, parent_sku=parent_sku
        )


class InvalidComponentError(Refusal):
    """The item cannot be part of the bundle."""

    reason = "INVALID_COMPONENT"

    def __init__(self, sku: str, component_sku: str, why: str) -> None:
        super().__init__(
            f"bundle {sku} cannot contain {component_sku}: {why}", sku=sku, component_sku=component_sku
        )


class LocationInactiveError(Refusal):
    """The location takes no new stock and no new promises."""

    reason = "LOCATION_INACTIVE"

    def __init__(self, location_id: str) -> None:
        super().__init__(
            f"location {location_id} is inactive: it takes no new stock or promises",
            location_id=location_id,
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


class LotRequiredError(Refusal):
    """The item is kept in lots, and the command names none."""

    reason = "LOT_REQUIRED"

    def __init__(self, sku: str) -> None:
        super().__init__(f"item {sku} is kept in lots: name the lot", sku=sku)


class LotNotTrackedError(Refusal):
    """The item is not kept in lots, and the command names one."""

    reason = "LOT_NOT_TRACKED"

    def __init__(self, sku: str, lot_id: str) -> None:
        super().__init__(f"item {sku} is not kept in lots: name none", sku=sku, lot_id=lot_id)


class LotNotFoundError(Refusal):
    """The location has no such lot of the item."""

    reason = "LOT_NOT_FOUND"

    def __init__(self, key: LotKey) -> None:
        super().__init__(f"there is no lot {key.lot_id} of {key.sku} at {key.location_id}", **key._asdict())


class LotMismatchError(Refusal):
    """The lot is known with another date."""

    reason = "LOT_MISMATCH"

    def __init__(self, key: LotKey, given: date | None, known: date | None) -> None:
        super().__init__(
            f"lot {key.lot_id} of {key.sku} at {key.location_id} expires on {known or 'no day'}, "
            f"not on {given or 'no day'}",
            **key._asdict(),
            requested=given or "",
            expiry_date=known or "",
        )


class SerialAlreadyPresentError(Refusal):
    """A unit with the serial number is in stock already."""

    reason = "SERIAL_ALREADY_PRESENT"

    def __init__(self, sku: str, serial: str, location_id: str) -> None:
        super().__init__(
            f"serial {serial} of {sku} is at {location_id} already",
            sku=sku,
            serial=serial,
            location_id=location_id,
        )


class SerialNotFoundError(Refusal):
    """No unit with the serial number is there."""

    reason = "SERIAL_NOT_FOUND"

    def __init__(self, key: LevelKey, serial: str) -> None:
        super().__init__(
            f"there is no serial {serial} of {key.sku} at {key.location_id} in that lot",
            **key._asdict(),
            serial=serial,
        )


class SerialsRequiredError(Refusal):
    """Each unit must be named by its serial number, or none: the units that would be left have more."""

    reason = "SERIALS_REQUIRED"

    def __init__(self, key: LotKey, units: int, named: int) -> None:
        super().__init__(
            f"{units} units of lot {key.lot_id} of {key.sku} at {key.location_id} need their serial numbers, "
            f"{named} were named",
            **key._asdict(),
            requested=units,
            serials=named,
        )
