"""From the status of a failed call to its exception."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from . import errors

DOMAIN = "inventory"

# What grpcio makes of the status of a call whose end a write has met: it puts this in place of what the peer
# said (grpc/grpc#36066).
_HIDDEN = "Internal error from Core"

_CODES = MappingProxyType({code.value[0]: code for code in grpc.StatusCode})

BY_REASON: Mapping[str, type[errors.InventoryError]] = MappingProxyType(
    {
        "INVALID_FIELD": errors.InvalidFieldError,
        "ITEM_NOT_FOUND": errors.ItemNotFoundError,
        "LOCATION_NOT_FOUND": errors.LocationNotFoundError,
        "LEVEL_NOT_FOUND": errors.LevelNotFoundError,
        "ITEM_ALREADY_EXISTS": errors.ItemAlreadyExistsError,
        "LOCATION_ALREADY_EXISTS": errors.LocationAlreadyExistsError,
        "INSUFFICIENT_STOCK": errors.InsufficientStockError,
        "QUANTITY_OUT_OF_RANGE": errors.QuantityOutOfRangeError,
        "ITEM_NOT_STOCKED": errors.ItemNotStockedError,
        "REQUEST_ID_REUSED": errors.RequestIdReusedError,
        "VERSION_MISMATCH": errors.VersionMismatchError,
        "QUEUE_FULL": errors.QueueFullError,
        "DEPENDENCY_UNAVAILABLE": errors.DependencyUnavailableError,
        "DEADLINE_EXCEEDED": errors.DeadlineExceededError,
        "INVALID_PAGE_TOKEN": errors.InvalidPageTokenError,
        "INTERNAL": errors.InternalError,
        "RESERVATION_NOT_FOUND": errors.ReservationNotFoundError,
        "RESERVATION_EXPIRED": errors.ReservationExpiredError,
        "RESERVATION_RESOLVED": errors.ReservationResolvedError,
        "EXCEEDS_RESERVATION": errors.ExceedsReservationError,
        "BACKORDERS_OUTSTANDING": errors.BackordersOutstandingError,
        "ITEM_ARCHIVED": errors.ItemArchivedError,
        "ITEM_IN_USE": errors.ItemInUseError,
        "LOCATION_INACTIVE": errors.LocationInactiveError,
        "INVALID_PARENT": errors.InvalidParentError,
        "INVALID_COMPONENT": errors.InvalidComponentError,
        "ORDER_NOT_FOUND": errors.OrderNotFoundError,
        "ORDER_CLOSED": errors.OrderClosedError,
        "EXCEEDS_ORDER": errors.ExceedsOrderError,
        "TRANSFER_NOT_FOUND": errors.TransferNotFoundError,
        "TRANSFER_RESOLVED": errors.TransferResolvedError,
        "EXCEEDS_TRANSFER": errors.ExceedsTransferError,
        "LOT_REQUIRED": errors.LotRequiredError,
        "LOT_NOT_TRACKED": errors.LotNotTrackedError,
        "LOT_NOT_FOUND": errors.LotNotFoundError,
        "LOT_MISMATCH": errors.LotMismatchError,
        "SERIAL_ALREADY_PRESENT": errors.SerialAlreadyPresentError,
        "SERIAL_NOT_FOUND": errors.SerialNotFoundError,
        "SERIALS_REQUIRED": errors.SerialsRequiredError,
        "INVALID_CONSISTENCY_TOKEN": errors.InvalidConsistencyTokenError,
        "INVALID_CURSOR": errors.InvalidCursorError,
        "CURSOR_EXPIRED": errors.CursorExpiredError,
        "WATCH_TOO_SLOW": errors.WatchTooSlowError,
        "DEAD_LETTER_NOT_FOUND": errors.DeadLetterNotFoundError,
        "UNAUTHENTICATED": errors.UnauthenticatedError,
        "PERMISSION_DENIED": errors.PermissionDeniedError,
        "STEP_UP_REQUIRED": errors.StepUpRequiredError,
        "LOCATION_NOT_ALLOWED": errors.LocationNotAllowedError,
        "REBUILD_UNDER_WAY": errors.RebuildUnderWayError,
        "RATE_LIMITED": errors.RateLimitedError,
        "REQUEST_TOO_LARGE": errors.RequestTooLargeError,
        "ADDRESS_NOT_FOUND": errors.AddressNotFoundError,
    }
)
"""The exception of every reason of inventory.type.v1.ErrorReason, without its prefix."""

# For calls that ended before the service could give a reason.
_BY_CODE: Mapping[grpc.StatusCode, type[errors.InventoryError]] = MappingProxyType(
    {
        grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
        grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
        grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
        grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    }
)


def error_from_status(
    status: status_pb2.Status, *, request_id: str = "", call_id: str = ""
) -> errors.InventoryError:
    """Return the exception of a refusal: a failed call's status, or the `error` of a batch's result."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    reason = ""
    metadata: dict[str, str] = {}
    violations: list[errors.FieldViolation] = []
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
            violations += (
                errors.FieldViolation(v.field, v.description) for v in bad_request.field_violations
            )
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    kind = BY_REASON.get(reason) or _BY_CODE.get(code, errors.InventoryError)
    return kind(
        code=code,
        reason=reason,
        message=status.message,
        metadata=MappingProxyType(metadata),
        field_violations=tuple(violations),
        retry_after=retry_after,
        request_id=request_id,
        call_id=call_id,
    )


def error_from_call(
    failure: grpc.aio.AioRpcError | asyncio.CancelledError, *, request_id: str = "", call_id: str = ""
) -> errors.InventoryError:
    """Return the exception of a call that gRPC reports as failed, or as given up with its channel.

    Raises `failure` itself where it is the running task that is cancelled.
    """
    if isinstance(failure, asyncio.CancelledError):
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise failure
        status = status_pb2.Status(code=code_pb2.UNAVAILABLE, message="the channel of the call was closed")
    else:
        status = _status(failure)
    return error_from_status(status, request_id=request_id, call_id=call_id)


def _status(failure: grpc.aio.AioRpcError) -> status_pb2.Status:
    if failure.code() is grpc.StatusCode.INTERNAL and failure.details() == _HIDDEN:
        # Only a stream of requests ends so, and what it has no answer to can be sent again.
        return status_pb2.Status(
            code=code_pb2.UNAVAILABLE, message="the stream ended while a message was sent, and hid why"
        )
    try:
        # An AioRpcError is a Call in all that from_call reads, though its class does not say so.
        status = rpc_status.from_call(failure)  # type: ignore[arg-type]
    except ValueError:
        # Something on the way answered with details that contradict the status; the status counts.
        status = None
    if status is None:
        status = status_pb2.Status(code=failure.code().value[0], message=failure.details() or "")
    return status
