"""Every refusal becomes the exception of its reason, with all its figures."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

import client
from client import errors
from client.status import BY_REASON
from inventory.type.v1.error_reason_pb2 import ErrorReason

CONTRACT = Path(__file__).parents[3] / "proto/inventory/type/v1/error_reason.proto"

FIGURES = {
    "INVALID_FIELD": ["field"],
    "ITEM_NOT_FOUND": ["sku"],
    "LOCATION_NOT_FOUND": ["location_id"],
    "LEVEL_NOT_FOUND": ["sku", "location_id"],
    "ITEM_ALREADY_EXISTS": ["sku"],
    "LOCATION_ALREADY_EXISTS": ["location_id"],
    "INSUFFICIENT_STOCK": ["sku", "location_id", "requested", "available", "lot_id"],
    "QUANTITY_OUT_OF_RANGE": ["sku", "location_id", "requested", "on_hand", "in_transit", "limit"],
    "ITEM_NOT_STOCKED": ["sku", "kind"],
    "REQUEST_ID_REUSED": ["request_id"],
    "VERSION_MISMATCH": ["expected_version", "version", "sku", "location_id"],
    "QUEUE_FULL": [],
    "RATE_LIMITED": [],
    "REQUEST_TOO_LARGE": [],
    "ADDRESS_NOT_FOUND": [],
    "DEPENDENCY_UNAVAILABLE": ["dependency"],
    "DEADLINE_EXCEEDED": [],
    "INVALID_PAGE_TOKEN": ["page_token"],
    "INTERNAL": ["error_id"],
    "RESERVATION_NOT_FOUND": ["reservation_id"],
    "RESERVATION_EXPIRED": ["reservation_id", "expire_time"],
    "RESERVATION_RESOLVED": ["reservation_id", "state"],
    "EXCEEDS_RESERVATION": ["reservation_id", "sku", "location_id", "requested", "held"],
    "BACKORDERS_OUTSTANDING": ["sku", "location_id", "requested", "backordered"],
    "ITEM_ARCHIVED": ["sku"],
    "ITEM_IN_USE": ["sku", "on_hand", "reserved", "backordered", "in_transit"],
    "LOCATION_INACTIVE": ["location_id"],
    "INVALID_PARENT": ["sku", "parent_sku"],
    "INVALID_COMPONENT": ["sku", "component_sku"],
    "ORDER_NOT_FOUND": ["order_id"],
    "ORDER_CLOSED": ["order_id", "state"],
    "EXCEEDS_ORDER": ["order_id", "sku", "location_id", "requested", "left"],
    "TRANSFER_NOT_FOUND": ["transfer_id"],
    "TRANSFER_RESOLVED": ["transfer_id", "state"],
    "EXCEEDS_TRANSFER": ["transfer_id", "sku", "lot_id", "requested", "left"],
    "LOT_REQUIRED": ["sku"],
    "LOT_NOT_TRACKED": ["sku", "lot_id"],
    "LOT_NOT_FOUND": ["sku", "location_id", "lot_id"],
    "LOT_MISMATCH": ["sku", "location_id", "lot_id", "requested", "expiry_date"],
    "SERIAL_ALREADY_PRESENT": ["sku", "serial", "location_id"],
    "SERIAL_NOT_FOUND": ["sku", "location_id", "serial"],
    "SERIALS_REQUIRED": ["sku", "location_id", "lot_id", "requested", "serials"],
    "DEAD_LETTER_NOT_FOUND": ["dead_letter_id"],
    "UNAUTHENTICATED": ["cause"],
    "PERMISSION_DENIED": ["method", "roles"],
    "STEP_UP_REQUIRED": ["method", "max_age_seconds", "acr_values", "amr_values"],
    "LOCATION_NOT_ALLOWED": ["location_id"],
    "REBUILD_UNDER_WAY": ["generation", "state", "actor"],
    "INVALID_CONSISTENCY_TOKEN": ["consistency_token"],
    "INVALID_CURSOR": ["cursor"],
    "CURSOR_EXPIRED": [],
    "WATCH_TOO_SLOW": ["waiting", "limit"],
}
"""What the metadata of every reason can hold."""

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
    assert sorted(BY_REASON) == sorted(REASONS)
    assert len(set(BY_REASON.values())) == len(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_raised_as_its_exception_and_the_package_exports_it(reason: str) -> None:
    error = client.error_from_status(status(code_pb2.UNKNOWN, "no", info(reason)))
    assert type(error) is BY_REASON[reason]
    assert error.reason == reason
    assert type(error).__name__ in client.__all__


def listed(text: str) -> set[str]:
    """Return the names that a text lists as metadata, or that its example has there."""
    text = " ".join(text.split())
    example = re.search(r'"metadata": \{([^}]*)\}', text)
    names = set(re.findall(r'"(\w+)":', example[1])) if example else set()
    listing = re.sub(r"\([^()]*\)", "", text.partition("Metadata")[2].partition(":")[2]).partition(".")[0]
    for part in re.split("[,:]", listing):
        words = part.split()
        names |= set(words) if len(words) == 1 else set()
    return names


def published(reason: str) -> str:
    """Return what the contract says of a reason."""
    before = CONTRACT.read_text().partition(f" ERROR_REASON_{reason} =")[0]
    paragraph = before.rpartition(";\n")[2]
    return " ".join(line.strip().removeprefix("//") for line in paragraph.splitlines())


@pytest.mark.parametrize("reason", REASONS)
def test_every_figure_of_a_reason_is_kept_and_documented(reason: str) -> None:
    figures = {name: f"{name} of it" for name in FIGURES[reason]}
    error = client.error_from_status(status(code_pb2.UNKNOWN, "no", info(reason, **figures)))
    assert dict(error.metadata) == figures
    assert listed(BY_REASON[reason].__doc__ or "") == set(figures)
    assert listed(published(reason)) <= set(figures)
    assert [name for name in figures if not re.search(rf"\b{name}\b", published(reason))] == []


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
        (code_pb2.PERMISSION_DENIED, client.PermissionDeniedError),
        (code_pb2.UNAUTHENTICATED, client.UnauthenticatedError),
    ],
)
def test_a_status_without_details_is_told_by_its_code(code: int, kind: type[Exception]) -> None:
    assert type(client.error_from_status(status(code, "no"))) is kind


def test_a_code_that_grpc_does_not_know_is_unknown() -> None:
    assert client.error_from_status(status(99, "no")).code is grpc.StatusCode.UNKNOWN
