"""Errors as callers see them: one table from reasons to codes, one exception, one mapping to a status.

Every error is a google.rpc.Status with a google.rpc.ErrorInfo (domain "inventory", a reason of
inventory.type.v1.ErrorReason without its prefix, metadata with the figures), plus BadRequest,
PreconditionFailure or RetryInfo where they fit.
"""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from inventory.type.v1 import error_reason_pb2
from inventory.type.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.message import Message

__all__ = ["CODES", "DOMAIN", "CallError", "FieldViolation", "abort", "invalid_field", "unavailable"]

DOMAIN = "inventory"
DETAILS_KEY = "grpc-status-details-bin"

CODES: Mapping[ErrorReason.ValueType, grpc.StatusCode] = MappingProxyType(
    {
        error_reason_pb2.ERROR_REASON_INVALID_FIELD: grpc.StatusCode.INVALID_ARGUMENT,
        error_reason_pb2.ERROR_REASON_ITEM_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        error_reason_pb2.ERROR_REASON_LOCATION_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        error_reason_pb2.ERROR_REASON_LEVEL_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        error_reason_pb2.ERROR_REASON_ITEM_ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
        error_reason_pb2.ERROR_REASON_LOCATION_ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
        error_reason_pb2.ERROR_REASON_INSUFFICIENT_STOCK: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_QUANTITY_OUT_OF_RANGE: grpc.StatusCode.OUT_OF_RANGE,
        error_reason_pb2.ERROR_REASON_ITEM_NOT_STOCKED: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_REQUEST_ID_REUSED: grpc.StatusCode.ABORTED,
        error_reason_pb2.ERROR_REASON_VERSION_MISMATCH: grpc.StatusCode.ABORTED,
        error_reason_pb2.ERROR_REASON_QUEUE_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
        error_reason_pb2.ERROR_REASON_DEPENDENCY_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
        error_reason_pb2.ERROR_REASON_DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
        error_reason_pb2.ERROR_REASON_INVALID_PAGE_TOKEN: grpc.StatusCode.INVALID_ARGUMENT,
        error_reason_pb2.ERROR_REASON_INTERNAL: grpc.StatusCode.INTERNAL,
        error_reason_pb2.ERROR_REASON_RESERVATION_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        error_reason_pb2.ERROR_REASON_RESERVATION_EXPIRED: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_RESERVATION_RESOLVED: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_EXCEEDS_RESERVATION: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_BACKORDERS_OUTSTANDING: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_ITEM_ARCHIVED: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_ITEM_IN_USE: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_LOCATION_INACTIVE: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_INVALID_PARENT: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_INVALID_COMPONENT: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_ORDER_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        error_reason_pb2.ERROR_REASON_ORDER_CLOSED: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_EXCEEDS_ORDER: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_TRANSFER_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        error_reason_pb2.ERROR_REASON_TRANSFER_RESOLVED: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_EXCEEDS_TRANSFER: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_LOT_REQUIRED: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_LOT_NOT_TRACKED: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_LOT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        error_reason_pb2.ERROR_REASON_LOT_MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_SERIAL_ALREADY_PRESENT: grpc.StatusCode.ALREADY_EXISTS,
        error_reason_pb2.ERROR_REASON_SERIAL_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        error_reason_pb2.ERROR_REASON_SERIALS_REQUIRED: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_INVALID_CONSISTENCY_TOKEN: grpc.StatusCode.INVALID_ARGUMENT,
        error_reason_pb2.ERROR_REASON_INVALID_CURSOR: grpc.StatusCode.INVALID_ARGUMENT,
        error_reason_pb2.ERROR_REASON_CURSOR_EXPIRED: grpc.StatusCode.OUT_OF_RANGE,
        error_reason_pb2.ERROR_REASON_WATCH_TOO_SLOW: grpc.StatusCode.RESOURCE_EXHAUSTED,
        error_reason_pb2.ERROR_REASON_DEAD_LETTER_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        error_reason_pb2.ERROR_REASON_UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
        error_reason_pb2.ERROR_REASON_PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
        error_reason_pb2.ERROR_REASON_STEP_UP_REQUIRED: grpc.StatusCode.PERMISSION_DENIED,
        error_reason_pb2.ERROR_REASON_LOCATION_NOT_ALLOWED: grpc.StatusCode.PERMISSION_DENIED,
        error_reason_pb2.ERROR_REASON_REBUILD_UNDER_WAY: grpc.StatusCode.FAILED_PRECONDITION,
        error_reason_pb2.ERROR_REASON_RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
        error_reason_pb2.ERROR_REASON_REQUEST_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
        error_reason_pb2.ERROR_REASON_ADDRESS_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    }
)

# A status travels in HTTP/2 trailers, of which clients take 8 KiB: the message percent-encoded (up to
# three times its size) and the whole status in base64. What callers sent is quoted in it, so all is cut.
MESSAGE_BYTES = 512
VALUE_BYTES = 256
VIOLATIONS_BYTES = 2048


class FieldViolation(NamedTuple):
    """A broken rule: the field's path from the request, as in `commands[3].quantity`, and the rule."""

    field: str
    description: str


class CallError(Exception):
    """A call that is answered with an error.

    `metadata` holds the figures that the reason documents, `violations` the fields that break a rule,
    `retry_after` the seconds after which trying again makes sense.
    """

    def __init__(
        self,
        reason: ErrorReason.ValueType,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC code of the reason."""
        return CODES[self.reason]

    @property
    def reason_name(self) -> str:
        """The reason as published: the enum value's name without its prefix."""
        return ErrorReason.Name(self.reason).removeprefix("ERROR_REASON_")

    def to_status(self) -> status_pb2.Status:
        """Return the status with its details, small enough for the trailers of a call.

        Long texts are cut. Violations beyond 2 KiB are left out; the metadata then counts them as
        `omitted_violations`.
        """
        violations = _bounded(self.violations)
        metadata = {key: _cut(value, VALUE_BYTES) for key, value in self.metadata.items()}
        if len(violations) < len(self.violations):
            metadata["omitted_violations"] = str(len(self.violations) - len(violations))
        message = _cut(self.message, MESSAGE_BYTES)
        details: list[Message] = [
            error_details_pb2.ErrorInfo(reason=self.reason_name, domain=DOMAIN, metadata=metadata)
        ]
        if violations:
            details.append(error_details_pb2.BadRequest(field_violations=violations))
        if self.code is grpc.StatusCode.FAILED_PRECONDITION:
            subject = " ".join(f"{key}:{metadata[key]}" for key in ("sku", "location_id") if key in metadata)
            violation = error_details_pb2.PreconditionFailure.Violation(
                type=self.reason_name, subject=subject, description=message
            )
            details.append(error_details_pb2.PreconditionFailure(violations=[violation]))
        if self.retry_after is not None:
            details.append(error_details_pb2.RetryInfo(retry_delay=timedelta(seconds=self.retry_after)))
        status = status_pb2.Status(code=self.code.value[0], message=message)
        for detail in details:
            packed = AnyMessage()
            packed.Pack(detail, deterministic=True)
            status.details.append(packed)
        return status


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: CallError) -> NoReturn:
    """End a call with an error's full status: raises AbortError."""
    status = error.to_status()
    trailers = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(error.code, status.message, trailing_metadata=trailers)
    raise AssertionError("abort returns to nobody")


def invalid_field(field: str, description: str) -> CallError:
    """Return the error for one field that breaks a rule no contract can state."""
    return CallError(
        error_reason_pb2.ERROR_REASON_INVALID_FIELD,
        f"{field}: {description}",
        metadata={"field": field},
        violations=[FieldViolation(field, description)],
    )


def unavailable(dependency: str, retry_after: float = 1.0) -> CallError:
    """Return the error for a part that does not answer, to be tried again after `retry_after` seconds."""
    return CallError(
        error_reason_pb2.ERROR_REASON_DEPENDENCY_UNAVAILABLE,
        f"the {dependency} does not answer",
        metadata={"dependency": dependency},
        retry_after=retry_after,
    )


def _cut(text: str, limit: int) -> str:
    """Return `text`, or its beginning with an ellipsis, in at most `limit` bytes of UTF-8."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[: limit - len("…".encode())].decode(errors="ignore") + "…"


def _bounded(
    violations: Iterable[FieldViolation],
) -> list[error_details_pb2.BadRequest.FieldViolation]:
    kept: list[error_details_pb2.BadRequest.FieldViolation] = []
    size = 0
    for field, description in violations:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(field, VALUE_BYTES), description=_cut(description, VALUE_BYTES)
        )
        size += violation.ByteSize()
        if size > VIOLATIONS_BYTES:
            break
        kept.append(violation)
    return kept
