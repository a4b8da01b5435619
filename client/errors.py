"""What a call can fail with.

Every refusal of the service arrives as the exception of its published reason
(inventory.type.v1.ErrorReason), with the figures of the refusal in `metadata`:

    InventoryError                      any failed call
    ├── InvalidFieldError               a field breaks its rule; see `field_violations`
    ├── InvalidPageTokenError           the page token is not one this list has handed out
    ├── InvalidConsistencyTokenError    the consistency token is none that a command has answered with
    ├── InvalidCursorError              the cursor is not one that a watch has handed out
    ├── CursorExpiredError              changes after the cursor are no longer kept: list again, then watch
    ├── WatchTooSlowError               the watch was not read as fast as changes came
    ├── NotFoundError
    │   ├── ItemNotFoundError
    │   ├── LocationNotFoundError
    │   ├── LevelNotFoundError          the item has never been stocked at the location
    │   ├── ReservationNotFoundError
    │   ├── OrderNotFoundError
    │   ├── TransferNotFoundError
    │   ├── LotNotFoundError            the item has no such lot at the location
    │   ├── SerialNotFoundError         no unit with the serial is there to be taken
    │   └── DeadLetterNotFoundError     no dead letter has the id, or it has been dealt with
    ├── AlreadyExistsError
    │   ├── ItemAlreadyExistsError
    │   ├── LocationAlreadyExistsError
    │   └── SerialAlreadyPresentError   a unit of the item with the serial is present already
    ├── InsufficientStockError          fewer units are free than the command asks for
    ├── QuantityOutOfRangeError         the level would pass the largest quantity kept
    ├── BackordersOutstandingError      the backorder limit would fall below what is backordered
    ├── ItemNotStockedError             the item is not counted
    ├── ItemArchivedError               the item takes no new stock and no new promises
    ├── ItemInUseError                  stock or promises of the item remain, so it cannot be archived
    ├── LocationInactiveError           the location takes no new stock and no new promises
    ├── InvalidParentError              a variant's parent does not exist, or is a variant itself
    ├── InvalidComponentError           a bundle's component cannot be one
    ├── LotRequiredError                the item is kept by lots, and the command names none
    ├── LotNotTrackedError              the item is not kept by lots, and the command names one
    ├── LotMismatchError                the lot is known with another expiry date, or with none
    ├── SerialsRequiredError            the serials of the units must be named, one for each
    ├── ReservationExpiredError         the reservation ran out of time before the command was decided
    ├── ReservationResolvedError        the reservation has been confirmed or cancelled already
    ├── ExceedsReservationError         the confirmation names more than the reservation still holds
    ├── OrderClosedError                the order is fulfilled or cancelled
    ├── ExceedsOrderError               the command names more than the order has left for it
    ├── RebuildUnderWayError            another rebuild of the view is under way
    ├── TransferResolvedError           the transfer has been received or cancelled already
    ├── ExceedsTransferError            the receipt names more than is under way
    ├── RequestIdReusedError            the request id belongs to an earlier, different command
    ├── VersionMismatchError            what the command changes has changed since the caller read it
    ├── UnauthenticatedError            the caller does not prove who it is; see metadata["cause"]
    ├── PermissionDeniedError           the caller may not do this
    │   ├── StepUpRequiredError         not without having signed in anew, by more than a password
    │   └── LocationNotAllowedError     not at this location
    ├── QueueFullError                  nothing was tried; repeat after `retry_after`
    ├── RateLimitedError                the caller asks too often; repeat after `retry_after`
    ├── UnavailableError                the service was not reached, or could not answer
    │   └── DependencyUnavailableError  a part the answer depends on does not answer
    ├── DeadlineExceededError           a command may or may not have been committed
    └── InternalError                   a fault of the service, logged under metadata["error_id"]

A refused command has changed nothing. After UnavailableError and DeadlineExceededError the outcome of a
command is unknown: repeat it with the `request_id` of the exception to learn it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import grpc

_OUTCOME_UNKNOWN = frozenset({grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that breaks its rule: its path in the request, and the rule in words."""

    field: str
    description: str


class InventoryError(Exception):
    """A call that failed.

    code: the status of the call, or the one a command of a batch would have had as a call of its own.
    reason: the name of the ErrorReason without its prefix; empty when the service gave none.
    message: for people.
    metadata: the figures of the refusal, as its ErrorReason lists them; all values are text.
    field_violations: every field that breaks its rule.
    retry_after: seconds after which a repeat makes sense; None when the service said nothing of it.
    request_id: the id the failed command went out with; empty for a query. Where its outcome is unknown, the
        text of the error names it too.
    call_id: the id of the call in the logs and the audit log; empty for an error that no call brought.
    """

    def __init__(  # noqa: PLR0913 - the parts of a status, each by its name
        self,
        *,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        metadata: Mapping[str, str],
        field_violations: tuple[FieldViolation, ...],
        retry_after: float | None,
        request_id: str,
        call_id: str = "",
    ) -> None:
        text = f"{reason or code.name}: {message}"
        if request_id and code in _OUTCOME_UNKNOWN:
            text = f"{text} (request_id {request_id})"
        super().__init__(text)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = metadata
        self.field_violations = field_violations
        self.retry_after = retry_after
        self.request_id = request_id
        self.call_id = call_id


class InvalidFieldError(InventoryError):
    """A field breaks its rule; `field_violations` names every such field. Metadata: field, the first."""


class InvalidPageTokenError(InventoryError):
    """The page token is not one this list has handed out. Metadata: page_token."""


class InvalidConsistencyTokenError(InventoryError):
    """The consistency token is none that a command has answered with. Metadata: consistency_token."""


class InvalidCursorError(InventoryError):
    """The cursor is not one that a watch has handed out. Metadata: cursor."""


class CursorExpiredError(InventoryError):
    """Changes after the cursor are no longer kept: list the levels again, or watch anew."""


class WatchTooSlowError(InventoryError):
    """The watch was not read as fast as changes came. Metadata: waiting, limit."""


class NotFoundError(InventoryError):
    """What the call is about does not exist."""


class DeadLetterNotFoundError(NotFoundError):
    """No dead letter has this id, or it has been dealt with. Metadata: dead_letter_id."""


class RebuildUnderWayError(InventoryError):
    """Another rebuild of the view is under way. Metadata: generation, state, actor."""


class ItemNotFoundError(NotFoundError):
    """No item has this SKU. Metadata: sku."""


class LocationNotFoundError(NotFoundError):
    """No location has this id. Metadata: location_id."""


class LevelNotFoundError(NotFoundError):
    """The item has never been stocked at the location. Metadata: sku, location_id."""


class ReservationNotFoundError(NotFoundError):
    """No reservation has this id. Metadata: reservation_id."""


class OrderNotFoundError(NotFoundError):
    """No order has this id. Metadata: order_id."""


class TransferNotFoundError(NotFoundError):
    """No transfer has this id. Metadata: transfer_id."""


class LotNotFoundError(NotFoundError):
    """The item has no such lot at the location. Metadata: sku, location_id, lot_id."""


class SerialNotFoundError(NotFoundError):
    """No unit with this serial is there to be taken. Metadata: sku, location_id, serial."""


class AlreadyExistsError(InventoryError):
    """What the call would create exists."""


class ItemAlreadyExistsError(AlreadyExistsError):
    """Another item has this SKU. Metadata: sku."""


class LocationAlreadyExistsError(AlreadyExistsError):
    """Another location has this id. Metadata: location_id."""


class SerialAlreadyPresentError(AlreadyExistsError):
    """A unit with this serial is present, at location_id. Metadata: sku, serial, location_id."""


class InsufficientStockError(InventoryError):
    """Fewer units are free than asked for.

    Metadata: sku, location_id (empty for units asked for wherever they are), requested, available, lot_id
    (where one was named).
    """


class QuantityOutOfRangeError(InventoryError):
    """The level would pass its limit. Metadata: sku, location_id, requested, on_hand, in_transit, limit."""


class BackordersOutstandingError(InventoryError):
    """More is backordered than the limit would allow. Metadata: sku, location_id, requested, backordered."""


class ItemNotStockedError(InventoryError):
    """The item is not counted, so it has no stock. Metadata: sku, kind."""


class ItemArchivedError(InventoryError):
    """The item is archived: no new stock, no new promises. Metadata: sku."""


class ItemInUseError(InventoryError):
    """Stock or promises remain, as summed over all locations.

    Metadata: sku, on_hand, reserved, backordered, in_transit.
    """


class LocationInactiveError(InventoryError):
    """The location is inactive: no new stock, no new promises. Metadata: location_id."""


class InvalidParentError(InventoryError):
    """The parent does not exist, or is a variant itself. Metadata: sku, parent_sku."""


class InvalidComponentError(InventoryError):
    """The component does not exist, is not counted, or is a bundle itself. Metadata: sku, component_sku."""


class LotRequiredError(InventoryError):
    """The item is kept by lots, and the command names none. Metadata: sku."""


class LotNotTrackedError(InventoryError):
    """The item is not kept by lots, and the command names one. Metadata: sku, lot_id."""


class LotMismatchError(InventoryError):
    """The lot is known with another expiry date, or with none.

    Metadata: sku, location_id, lot_id, requested, expiry_date. The last is the date known; both dates are
    written 2027-03-31, and empty for none.
    """


class SerialsRequiredError(InventoryError):
    """The serials must be named, one for each unit: fewer units than serials would be left.

    Metadata: sku, location_id, lot_id, requested, serials. The last is how many were named.
    """


class ReservationExpiredError(InventoryError):
    """The reservation ran out of time first. Metadata: reservation_id, expire_time."""


class ReservationResolvedError(InventoryError):
    """The reservation is confirmed or cancelled already. Metadata: reservation_id, state."""


class ExceedsReservationError(InventoryError):
    """More than is still held. Metadata: reservation_id, sku, location_id, requested, held."""


class OrderClosedError(InventoryError):
    """The order is fulfilled or cancelled: nothing to ship or to cancel. Metadata: order_id, state."""


class ExceedsOrderError(InventoryError):
    """More than the order has left to ship, to cancel or to return.

    Metadata: order_id, sku, location_id (empty for a return), requested, left.
    """


class TransferResolvedError(InventoryError):
    """The transfer is received or cancelled already. Metadata: transfer_id, state."""


class ExceedsTransferError(InventoryError):
    """More than is under way. Metadata: transfer_id, sku, lot_id (where one was named), requested, left."""


class RequestIdReusedError(InventoryError):
    """The request id belongs to an earlier, different command. Metadata: request_id."""


class VersionMismatchError(InventoryError):
    """The level, item or location has changed since it was read.

    Metadata: expected_version, version, sku (of an item or a level), location_id (of a location or a level).
    """


class UnauthenticatedError(InventoryError):
    """The caller does not prove who it is. Metadata: cause ("expired": repeat with a new token)."""


class PermissionDeniedError(InventoryError):
    """None of the caller's roles may call the method. Metadata: method, roles."""


class StepUpRequiredError(PermissionDeniedError):
    """The caller must sign in anew. Metadata: method, max_age_seconds, acr_values, amr_values."""


class LocationNotAllowedError(PermissionDeniedError):
    """The caller acts at other locations. Metadata: location_id."""


class RateLimitedError(InventoryError):
    """The caller has had as many calls a second as it may have; nothing was tried."""


class QueueFullError(InventoryError):
    """More commands wait than the service takes in; nothing was tried."""


class UnavailableError(InventoryError):
    """The service was not reached or could not answer; a command's outcome is unknown."""


class DependencyUnavailableError(UnavailableError):
    """A part the answer depends on does not answer. Metadata: dependency."""


class DeadlineExceededError(InventoryError):
    """The deadline passed first; a command's outcome is unknown."""


class InternalError(InventoryError):
    """A fault of the service. Metadata: error_id, under which it is logged."""
