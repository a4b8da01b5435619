"""What a record asks for: under which id, by whom, or why it asks for nothing."""

from __future__ import annotations

import pytest

from command_svc.broker import Record
from command_svc.intake import take, workload_of
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1.stock_command_failure_pb2 import StockCommandFailure
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from serving.identity_settings import Workload

CONSUMER = workload_of(Workload(roles=("administrator",)), "consumer")


def add(**change: object) -> pb.StockCommand:
    """Return a receipt, changed."""
    fields = {"sku": "MUG", "location_id": "WH", "quantity": 5, "reason": MOVEMENT_REASON_RECEIPT}
    return pb.StockCommand(add=pb.AddStockRequest(**{**fields, **change}))  # type: ignore[arg-type]


def record(value: bytes, **headers: bytes) -> Record:
    """Return a record of the topic `t`."""
    return Record(
        "t", 3, 41, 1_790_000_000_123, b"MUG", value, {k.replace("_", "-"): v for k, v in headers.items()}
    )


@pytest.mark.parametrize(("own", "expected"), [("r-1", "r-1"), ("", "t-3-41-1790000000123")])
def test_a_command_has_its_own_id_or_that_of_its_place(own: str, expected: str) -> None:
    taken = take(record(add(request_id=own).SerializeToString()), CONSUMER)
    assert taken.error is None
    assert taken.request is not None
    assert taken.request.request_id == taken.request_id == expected


@pytest.mark.parametrize(
    ("headers", "expected"), [({}, "topic:consumer"), ({"x_inventory_actor": b"till/3"}, "topic:till/3")]
)
def test_the_header_says_who_acts_and_else_the_consumer_does(
    headers: dict[str, bytes], expected: str
) -> None:
    taken = take(record(add().SerializeToString(), **headers), CONSUMER)
    assert taken.request is not None
    assert taken.request.actor == taken.actor == expected


@pytest.mark.parametrize(
    ("value", "headers", "field"),
    [
        (b"\xff", {}, "value"),
        (b"", {}, "command"),
        (add(quantity=0).SerializeToString(), {}, "quantity"),
        (add(request_id="a b").SerializeToString(), {}, "request_id"),
        (add(validate_only=True).SerializeToString(), {}, "validate_only"),
        (add().SerializeToString(), {"x_inventory_actor": b""}, "x-inventory-actor"),
        (add().SerializeToString(), {"x_inventory_actor": b"\xff"}, "x-inventory-actor"),
        (add().SerializeToString(), {"x_inventory_actor": 123 * b"x"}, "x-inventory-actor"),
    ],
)
def test_what_is_no_good_command_becomes_a_failure_with_all_that_is_known(
    value: bytes, headers: dict[str, bytes], field: str
) -> None:
    taken = take(record(value, **headers), CONSUMER)
    assert taken.request is None
    assert taken.error is not None
    assert [violation.field for violation in taken.error.violations] == [field]
    key, body = taken.failure()
    failure = StockCommandFailure.FromString(body)
    assert key == failure.key == b"MUG"
    assert (failure.topic, failure.partition, failure.offset) == ("t", 3, 41)
    assert failure.error == taken.error.to_status()
    # The record as it was, byte for byte, unless it was decoded.
    kept = failure.command.SerializeToString() if failure.HasField("command") else failure.undecodable
    assert kept == value


def test_a_command_that_did_not_fail_has_no_failure() -> None:
    with pytest.raises(ValueError, match="did not fail"):
        take(record(add().SerializeToString()), CONSUMER).failure()


@pytest.mark.parametrize(
    ("roles", "locations", "reason"),
    [
        (("order_service",), (), "PERMISSION_DENIED"),
        (("viewer", "planner"), (), "PERMISSION_DENIED"),
        (("clerk",), ("elsewhere",), "LOCATION_NOT_ALLOWED"),
        (("clerk",), ("elsewhere", "WH"), None),
        (("administrator",), (), None),
    ],
)
def test_a_topic_may_do_what_its_roles_may_at_its_locations(
    roles: tuple[str, ...], locations: tuple[str, ...], reason: str | None
) -> None:
    workload = workload_of(Workload(roles=roles, locations=locations), "consumer")

    # A name is a label: it lends nobody's roles.
    taken = take(record(add().SerializeToString(), x_inventory_actor=b"administrator"), workload)

    assert (taken.error and taken.error.reason_name) == reason
    if reason is not None:
        entry = taken.entry()
        assert (entry.actor, entry.proof, entry.source) == ("topic:administrator", "topic", "topic t")
        assert entry.verdict == reason
        assert entry.skus == ("MUG",)
        assert StockCommandFailure.FromString(taken.failure()[1]).actor == "topic:administrator"


def test_what_is_carried_out_says_that_a_topic_has_asked() -> None:
    taken = take(record(add().SerializeToString()), CONSUMER)
    assert taken.request is not None
    assert taken.request.trail is not None
    assert (taken.request.trail.proof, taken.request.trail.source) == ("topic", "topic t")
