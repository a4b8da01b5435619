"""What a call can fail with.

Every refusal of the service arrives as the exception of its published reason
(inventory.type.v1.ErrorReason), with the figures of the refusal in `metadata`:

    InventoryError                      any failed call
    ├── InvalidFieldError               a field breaks its rule; see `field_violations`
    ├── InvalidPageTokenError           the page token is not one this list has handed out
    ├── NotFoundError
    │   ├── ItemNotFoundError
    │   ├── LocationNotFoundError
    │   ├── LevelNotFoundError          the item has never been stocked at the location
    │   └── ReservationNotFoundError
    ├── AlreadyExistsError
    │   ├── ItemAlreadyExistsError
    │   └── LocationAlreadyExistsError
    ├── InsufficientStockError          fewer units are free than the command asks for
    ├── BackordersOutstandingError      the backorder limit would fall below what is backordered
    ├── ReservationExpiredError         the reservation ran out of time before the command was decided
    ├── ReservationResolvedError        the reservation has been confirmed or cancelled already
    ├── ExceedsReservationError         the confirmation names more than the reservation still holds
    ├── QuantityOutOfRangeError         the level would pass the largest quantity kept
    ├── ItemNotStockedError             the item's kind is not counted
    ├── RequestIdReusedError            the request id belongs to an earlier, different command
    ├── VersionMismatchError            the level has changed since the caller read it
    ├── QueueFullError                  nothing was tried; repeat after `retry_after`
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
from types import MappingProxyType

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "inventory"

_CODES = MappingProxyType({code.value[0]: code for code in grpc.StatusCode})


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
    request_id: the id the failed command went out with; empty for a query.
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
    ) -> None:
        super().__init__(f"{reason or code.name}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = metadata
        self.field_violations = field_violations
        self.retry_after = retry_after
        self.request_id = request_id


class InvalidFieldError(InventoryError):
    """A field breaks its rule; `field_violations` names every such field."""


class InvalidPageTokenError(InventoryError):
    """The page token is not one this list has handed out."""


class NotFoundError(InventoryError):
    """What the call is about does not exist."""


class ItemNotFoundError(NotFoundError):
    """No item has this SKU. Metadata: sku."""


class LocationNotFoundError(NotFoundError):
    """No location has this id. Metadata: location_id."""


class LevelNotFoundError(NotFoundError):
    """The item has never been stocked at the location. Metadata: sku, location_id."""


class ReservationNotFoundError(NotFoundError):
    """No reservation has this id. Metadata: reservation_id."""


class AlreadyExistsError(InventoryError):
    """What the call would create exists."""


class ItemAlreadyExistsError(AlreadyExistsError):
    """Another item has this SKU. Metadata: sku."""


class LocationAlreadyExistsError(AlreadyExistsError):
    """Another location has this id. Metadata: location_id."""


class InsufficientStockError(InventoryError):
    """Fewer units are free than asked for. Metadata: sku, location_id, requested, available."""


class BackordersOutstandingError(InventoryError):
    """More is backordered than the limit would allow. Metadata: sku, location_id, requested, backordered."""


class ReservationExpiredError(InventoryError):
    """The reservation ran out of time first. Metadata: reservation_id, expire_time."""


class ReservationResolvedError(InventoryError):
    """The reservation is confirmed or cancelled already. Metadata: reservation_id, state."""


class ExceedsReservationError(InventoryError):
    """More than is still held. Metadata: reservation_id, sku, location_id, requested, held."""


class QuantityOutOfRangeError(InventoryError):
    """The level would pass its limit. Metadata: sku, location_id, requested, on_hand, limit."""


class ItemNotStockedError(InventoryError):
    """The item's kind is not counted, so it has no stock. Metadata: sku, kind."""


class RequestIdReusedError(InventoryError):
    """The request id belongs to an earlier, different command. Metadata: request_id."""


class VersionMismatchError(InventoryError):
    """The level has changed since it was read. Metadata: sku, location_id, expected_version, version."""


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


BY_REASON: Mapping[str, type[InventoryError]] = MappingProxyType(
    {
        "INVALID_FIELD": InvalidFieldError,
        "ITEM_NOT_FOUND": ItemNotFoundError,
        "LOCATION_NOT_FOUND": LocationNotFoundError,
        "LEVEL_NOT_FOUND": LevelNotFoundError,
        "ITEM_ALREADY_EXISTS": ItemAlreadyExistsError,
        "LOCATION_ALREADY_EXISTS": LocationAlreadyExistsError,
        "INSUFFICIENT_STOCK": InsufficientStockError,
        "QUANTITY_OUT_OF_RANGE": QuantityOutOfRangeError,
        "ITEM_NOT_STOCKED": ItemNotStockedError,
        "REQUEST_ID_REUSED": RequestIdReusedError,
        "VERSION_MISMATCH": VersionMismatchError,
        "QUEUE_FULL": QueueFullError,
        "DEPENDENCY_UNAVAILABLE": DependencyUnavailableError,
        "DEADLINE_EXCEEDED": DeadlineExceededError,
        "INVALID_PAGE_TOKEN": InvalidPageTokenError,
        "INTERNAL": InternalError,
        "RESERVATION_NOT_FOUND": ReservationNotFoundError,
        "RESERVATION_EXPIRED": ReservationExpiredError,
        "RESERVATION_RESOLVED": ReservationResolvedError,
        "EXCEEDS_RESERVATION": ExceedsReservationError,
        "BACKORDERS_OUTSTANDING": BackordersOutstandingError,
    }
)
"""The exception of every reason of inventory.type.v1.ErrorReason, without its prefix."""

# For calls that ended before the service could give a reason.
_BY_CODE: Mapping[grpc.StatusCode, type[InventoryError]] = MappingProxyType(
    {
        grpc.StatusCode.UNAVAILABLE: UnavailableError,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    }
)


def error_from_status(status: status_pb2.Status, *, request_id: str = "") -> InventoryError:
    """Return the exception of a refusal: a failed call's status, or the `error` of a batch's result."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    reason = ""
    metadata: dict[str, str] = {}
    violations: list[FieldViolation] = []
    retry_after: float | None = None
    info, bad_request, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad_request):
            violations += (FieldViolation(v.field, v.description) for v in bad_request.field_violations)
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    kind = BY_REASON.get(reason) or _BY_CODE.get(code, InventoryError)
    return kind(
        code=code,
        reason=reason,
        message=status.message,
        metadata=MappingProxyType(metadata),
        field_violations=tuple(violations),
        retry_after=retry_after,
        request_id=request_id,
    )


def error_from_call(failure: grpc.aio.AioRpcError, *, request_id: str = "") -> InventoryError:
    """Return the exception of a call that gRPC reports as failed."""
    try:
        # An AioRpcError is a Call in all that from_call reads, though its class does not say so.
        status = rpc_status.from_call(failure)  # type: ignore[arg-type]
    except ValueError:
        # Something on the way answered with details that contradict the status; the status counts.
        status = None
    if status is None:
        status = status_pb2.Status(code=failure.code().value[0], message=failure.details() or "")
    return error_from_status(status, request_id=request_id)
