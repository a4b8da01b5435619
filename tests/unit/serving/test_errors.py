"""Every reason has its code, and every status its details, within what trailers carry."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from inventory.type.v1 import error_reason_pb2
from inventory.type.v1.error_reason_pb2 import ErrorReason
from serving.errors import CODES, CallError, FieldViolation, invalid_field, unavailable

REASONS = [value for value in ErrorReason.values() if value != error_reason_pb2.ERROR_REASON_UNSPECIFIED]


def details(status: status_pb2.Status) -> dict[str, Any]:
    """Return the details of a status by the names of their types."""
    found = {}
    for packed in status.details:
        detail = getattr(error_details_pb2, packed.TypeName().rpartition(".")[2])()
        assert packed.Unpack(detail)
        found[detail.DESCRIPTOR.name] = detail
    return found


def test_every_reason_has_a_code_and_nothing_else_has() -> None:
    assert sorted(CODES) == sorted(REASONS)
    assert grpc.StatusCode.OK not in CODES.values()


@pytest.mark.parametrize("reason", REASONS, ids=ErrorReason.Name)
def test_every_status_carries_its_error_info(reason: ErrorReason.ValueType) -> None:
    status = CallError(reason, "why", metadata={"sku": "MUG-1"}).to_status()
    info = details(status)["ErrorInfo"]
    assert status.code == CODES[reason].value[0]
    assert status.message == "why"
    assert "ERROR_REASON_" + info.reason == ErrorReason.Name(reason)
    assert info.domain == "inventory"
    assert dict(info.metadata) == {"sku": "MUG-1"}


def test_a_broken_rule_names_its_field() -> None:
    found = details(invalid_field("occur_time", "lies ahead").to_status())
    assert found["ErrorInfo"].metadata["field"] == "occur_time"
    (violation,) = found["BadRequest"].field_violations
    assert (violation.field, violation.description) == ("occur_time", "lies ahead")


def test_an_absent_dependency_says_when_to_try_again() -> None:
    found = details(unavailable("database", retry_after=1.5).to_status())
    assert found["ErrorInfo"].metadata["dependency"] == "database"
    assert found["RetryInfo"].retry_delay.ToMilliseconds() == 1500


def test_a_failed_precondition_names_its_subject() -> None:
    error = CallError(
        error_reason_pb2.ERROR_REASON_INSUFFICIENT_STOCK,
        "7 of 12 are free",
        metadata={"sku": "MUG-1", "location_id": "WH-1", "requested": "12", "available": "7"},
    )
    (violation,) = details(error.to_status())["PreconditionFailure"].violations
    assert violation.type == "INSUFFICIENT_STOCK"
    assert violation.subject == "sku:MUG-1 location_id:WH-1"
    assert violation.description == "7 of 12 are free"


def test_what_callers_sent_never_makes_a_status_too_large_for_its_trailers() -> None:
    """8 KiB is what a gRPC client takes: message percent-encoded, details in base64."""
    huge = "ж" * 100_000
    error = CallError(
        error_reason_pb2.ERROR_REASON_INVALID_FIELD,
        huge,
        metadata={"field": huge},
        violations=[FieldViolation(huge, huge)] * 1000,
    )
    status = error.to_status()
    assert len(status.message.encode()) * 3 + status.ByteSize() * 4 / 3 < 8192
    found = details(status)
    kept = len(found["BadRequest"].field_violations)
    assert kept > 0
    assert found["ErrorInfo"].metadata["omitted_violations"] == str(1000 - kept)
