"""What the audit log is told of calls, and what it is not told of their callers."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from inventory.command.v1 import order_command_service_pb2 as orders
from inventory.command.v1 import stock_command_service_pb2 as stock
from inventory.query.v1 import stock_query_service_pb2 as queries
from serving.audit import Names, names_in
from serving.origin import Origin, network_of, origin_of


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (stock.AddStockRequest(sku="MUG", location_id="BER"), Names(("MUG",), ("BER",))),
        (stock.AddStockRequest(), Names()),
        (
            stock.MoveStockRequest(sku="MUG", source_location_id="BER", destination_location_id="HAM"),
            Names(("MUG",), ("BER", "HAM")),
        ),
        (
            orders.PlaceOrderRequest(
                lines=[
                    orders.PlaceLine(sku="MUG", location_id="BER"),
                    orders.PlaceLine(sku="PEN"),
                    orders.PlaceLine(sku="MUG"),
                ]
            ),
            Names(("MUG", "PEN"), ("BER",)),
        ),
        (
            stock.BatchStockRequest(
                commands=[
                    stock.StockCommand(add=stock.AddStockRequest(sku="MUG", location_id="BER")),
                    stock.StockCommand(remove=stock.RemoveStockRequest(sku="PEN")),
                ]
            ),
            Names(("MUG", "PEN"), ("BER",)),
        ),
        (queries.GetStockLevelRequest(sku="x" * 300), Names(("x" * 128,), ())),
    ],
)
def test_a_message_names_items_and_locations(message: Message, expected: Names) -> None:
    named = names_in(message)
    assert (sorted(named.skus), sorted(named.location_ids)) == (
        sorted(expected.skus),
        sorted(expected.location_ids),
    )


def test_names_are_bounded() -> None:
    lines = [orders.PlaceLine(sku=f"S-{number}") for number in range(300)]
    assert len(names_in(orders.PlaceOrderRequest(lines=lines)).skus) == 100


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("127.0.0.1", "127.0.0.1"),
        ("evil", ""),
        ("", ""),
    ],
)
def test_of_an_address_its_network_is_kept(address: str, expected: str) -> None:
    assert network_of(address) == expected


@pytest.mark.parametrize(
    ("metadata", "peer", "expected"),
    [
        ({}, "ipv4:192.0.2.77:4242", Origin("192.0.2.0/24")),
        ({}, "ipv6:%5B2001:db8:1::3%5D:4242", Origin("2001:db8:1::/48")),
        ({}, "unix:", Origin("")),
        # What a caller says of itself stands before what the door has seen.
        ({"x-forwarded-for": "8.8.8.8, 192.0.2.77"}, "ipv4:127.0.0.1:1", Origin("192.0.2.0/24")),
        (
            {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "x-request-id": "r-1"},
            "ipv4:127.0.0.1:1",
            Origin("127.0.0.1", "ab" * 16),
        ),
        ({"traceparent": "no", "x-request-id": "r-1"}, "ipv4:127.0.0.1:1", Origin("127.0.0.1", "r-1")),
        ({"x-request-id": "r 1"}, "ipv4:127.0.0.1:1", Origin("127.0.0.1")),
    ],
)
def test_a_call_comes_from_where_the_door_has_seen_it(
    metadata: dict[str, str], peer: str, expected: Origin
) -> None:
    assert origin_of(tuple(metadata.items()), peer) == expected
