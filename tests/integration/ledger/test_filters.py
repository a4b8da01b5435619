"""A filtered history is what matches, in order, whatever the bounds."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.query.v1.time_range_pb2 import TimeRange
from inventory.type.v1 import stock_pb2
from inventory.type.v1.stock_pb2 import StockMovement
from tests.integration.ledger.entries import (
    NEXT_MONTH,
    around_the_turn_of_the_month,
    in_order,
    moment,
    nanoseconds,
    pages,
    write,
)

if TYPE_CHECKING:
    from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceAsyncStub

pytestmark = pytest.mark.stack


def varied(count: int) -> list[StockMovement]:
    """Return entries that differ in all that a filter can ask for."""
    rng = random.Random(4)
    entries = around_the_turn_of_the_month(count)
    for one in entries:
        one.kind = rng.choice([stock_pb2.MOVEMENT_KIND_ADD, stock_pb2.MOVEMENT_KIND_REMOVE])
        one.reason = rng.choice([stock_pb2.MOVEMENT_REASON_SALE, stock_pb2.MOVEMENT_REASON_COUNT])
        one.actor = rng.choice(["shop", "shop-2"])
        one.reference = rng.choice(["", "PO-1", "PO-2"])
        one.lot_id = rng.choice(["", "LOT-1", "LOT-2"])
    return entries


START, END = NEXT_MONTH - timedelta(microseconds=10), NEXT_MONTH + timedelta(microseconds=20)
FILTERS: list[tuple[pb.HistoryFilter, Callable[[StockMovement], bool]]] = [
    (
        pb.HistoryFilter(kinds=[stock_pb2.MOVEMENT_KIND_ADD]),
        lambda one: one.kind == stock_pb2.MOVEMENT_KIND_ADD,
    ),
    (
        pb.HistoryFilter(reasons=[stock_pb2.MOVEMENT_REASON_SALE]),
        lambda one: one.reason == stock_pb2.MOVEMENT_REASON_SALE,
    ),
    (
        pb.HistoryFilter(kinds=[stock_pb2.MOVEMENT_KIND_ADD, stock_pb2.MOVEMENT_KIND_REMOVE]),
        lambda _: True,
    ),
    (pb.HistoryFilter(actor="shop"), lambda one: one.actor == "shop"),
    (pb.HistoryFilter(reference="PO-2"), lambda one: one.reference == "PO-2"),
    (pb.HistoryFilter(lot_id="LOT-1"), lambda one: one.lot_id == "LOT-1"),
    (
        pb.HistoryFilter(record_time=TimeRange(start=moment(START), end=moment(END))),
        lambda one: moment(START).ToNanoseconds() <= nanoseconds(one) < moment(END).ToNanoseconds(),
    ),
    (
        pb.HistoryFilter(
            record_time=TimeRange(start=moment(START)), actor="shop", reference="PO-1", lot_id="LOT-2"
        ),
        lambda one: (
            nanoseconds(one) >= moment(START).ToNanoseconds()
            and (one.actor, one.reference, one.lot_id) == ("shop", "PO-1", "LOT-2")
        ),
    ),
]


@pytest.mark.parametrize(("wanted", "matches"), FILTERS, ids=[str(wanted) for wanted, _ in FILTERS])
@pytest.mark.parametrize("location_id", ["", "WH-2"])
async def test_a_filtered_history_is_what_matches(
    stub: StockQueryServiceAsyncStub,
    books: psycopg.Connection,
    wanted: pb.HistoryFilter,
    matches: Callable[[StockMovement], bool],
    location_id: str,
) -> None:
    entries = varied(300)
    write(books, entries)
    matching = [one for one in entries if matches(one) and location_id in ("", one.location_id)]
    assert matching
    for order_by in (pb.HISTORY_ORDER_NEWEST_FIRST, pb.HISTORY_ORDER_OLDEST_FIRST):
        request = pb.GetStockHistoryRequest(
            sku="MUG-1", location_id=location_id, filter=wanted, order_by=order_by, page_size=7
        )
        found = [one async for page in pages(stub, request) for one in page]
        assert found == in_order(matching, newest_first=order_by == pb.HISTORY_ORDER_NEWEST_FIRST)


@pytest.mark.parametrize("seconds", [-62_135_596_800, -1, 253_402_300_799])
async def test_any_instant_bounds_a_history(
    stub: StockQueryServiceAsyncStub, books: psycopg.Connection, seconds: int
) -> None:
    write(books, around_the_turn_of_the_month(5))
    instant = Timestamp(seconds=seconds, nanos=999_999_999)
    for stretch, shown in ((TimeRange(start=instant), seconds < 0), (TimeRange(end=instant), seconds > 0)):
        answer = await stub.GetStockHistory(
            pb.GetStockHistoryRequest(sku="MUG-1", filter=pb.HistoryFilter(record_time=stretch)), timeout=10
        )
        assert len(answer.movements) == (5 if shown else 0)
