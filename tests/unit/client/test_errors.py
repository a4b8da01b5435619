"""Every refusal becomes the exception of its reason, with all its figures."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

import client
from client import errors
from inventory.type.v1.error_reason_pb2 import ErrorReason

REASONS = [name.removeprefix("ERROR_REASON_") for name, number in ErrorReason.items() if number]


def status(code: int, message: str, *details: Message) -> status_pb2.Status:
    """Return a status with the given messages packed as its details."""
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code, message=message, details=packed)


def info(reason: str, domain: str = "inventory", **metadata: str) -> error_details_pb2.ErrorInfo:
    """Return an ErrorInfo of the service."""
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


def test_every_published_reason_has_its_own_exception() -> None:
    assert sorted(errors.BY_REASON) == sorted(REASONS)
    assert len(set(errors.BY_REASON.values())) == len(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_raised_as_its_exception_and_the_package_exports_it(reason: str) -> None:
    error = client.error_from_status(status(code_pb2.UNKNOWN, "no", info(reason)))
    assert type(error) is errors.BY_REASON[reason]
    assert error.reason == reason
    assert type(error).__name__ in client.__all__


def test_the_tree_in_the_docstring_names_every_exception() -> None:
    documented = errors.__doc__ or ""
    public = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.InventoryError)
    ]
    assert public
    assert [name for name in public if f"{name} " not in documented and f"{name}\n" not in documented] == []


def test_the_figures_of_a_refusal_are_kept() -> None:
    error = client.error_from_status(
        status(
            code_pb2.FAILED_PRECONDITION,
            "7 available",
            info("INSUFFICIENT_STOCK", sku="MUG-1", location_id="WH-1", requested="12", available="7"),
        ),
        request_id="r-1",
    )
    assert isinstance(error, client.InsufficientStockError)
    assert error.code is grpc.StatusCode.FAILED_PRECONDITION
    assert dict(error.metadata) == {
        "sku": "MUG-1",
        "location_id": "WH-1",
        "requested": "12",
        "available": "7",
    }
    assert error.request_id == "r-1"
    assert str(error) == "INSUFFICIENT_STOCK: 7 available"
    assert error.retry_after is None


def test_field_violations_and_the_time_to_retry_are_kept() -> None:
    violations = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field="sku", description="is required"),
            error_details_pb2.BadRequest.FieldViolation(field="quantity", description="must be positive"),
        ]
    )
    retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=250_000_000))
    error = client.error_from_status(
        status(code_pb2.INVALID_ARGUMENT, "2 fields", info("INVALID_FIELD"), violations, retry)
    )
    assert error.field_violations == (
        client.FieldViolation("sku", "is required"),
        client.FieldViolation("quantity", "must be positive"),
    )
    assert error.retry_after == 0.25


def test_the_reason_of_another_domain_is_not_ours() -> None:
    error = client.error_from_status(status(code_pb2.NOT_FOUND, "no", info("ITEM_NOT_FOUND", "example.org")))
    assert type(error) is client.InventoryError
    assert error.reason == ""


def test_a_reason_newer_than_this_client_is_still_an_inventory_error() -> None:
    error = client.error_from_status(status(code_pb2.ABORTED, "no", info("MOON_PHASE", phase="full")))
    assert type(error) is client.InventoryError
    assert error.reason == "MOON_PHASE"
    assert error.metadata["phase"] == "full"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (code_pb2.UNAVAILABLE, client.UnavailableError),
        (code_pb2.DEADLINE_EXCEEDED, client.DeadlineExceededError),
        (code_pb2.PERMISSION_DENIED, client.InventoryError),
    ],
)
def test_a_status_without_details_is_told_by_its_code(code: int, kind: type[Exception]) -> None:
    assert type(client.error_from_status(status(code, "no"))) is kind


def test_a_code_that_grpc_does_not_know_is_unknown() -> None:
    assert client.error_from_status(status(99, "no")).code is grpc.StatusCode.UNKNOWN
