"""A level as of any instant is what its newest entry by then left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from inventory.query.v1 import stock_query_service_pb2 as pb
from tests.integration.ledger.entries import (
    NEXT_MONTH,
    around_the_turn_of_the_month,
    as_of_refusal,
    in_order,
    movement,
    nanoseconds,
    plain,
    write,
)

if TYPE_CHECKING:
    from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceAsyncStub

pytestmark = pytest.mark.stack


async def test_a_level_as_of_an_instant_is_what_its_newest_entry_by_then_left(
    stub: StockQueryServiceAsyncStub, books: psycopg.Connection
) -> None:
    entries = in_order(around_the_turn_of_the_month(60), newest_first=False)
    for number, one in enumerate(entries):
        one.result.on_hand, one.result.reserved = 100 + number, number
        one.result.backordered, one.result.in_transit = 2 * number, 3 * number
    write(books, entries)
    there = [one for one in entries if one.location_id == "WH-2"]
    for nanos in sorted({nanoseconds(one) + shift for one in there for shift in (-1, 0, 1, 999, 1000)}):
        instant = Timestamp()
        instant.FromNanoseconds(nanos)
        request = pb.GetStockLevelAsOfRequest(sku="MUG-1", location_id="WH-2", time=instant)
        by_then = [one for one in there if nanoseconds(one) <= nanos]
        if not by_then:
            assert (await as_of_refusal(stub, request)).reason == "LEVEL_NOT_FOUND"
            continue
        last = by_then[-1]
        assert plain(await stub.GetStockLevelAsOf(request, timeout=10)) == pb.GetStockLevelAsOfResponse(
            sku="MUG-1",
            location_id="WH-2",
            on_hand=last.result.on_hand,
            reserved=last.result.reserved,
            available=100,
            backordered=last.result.backordered,
            in_transit=last.result.in_transit,
            version=last.version,
            update_time=last.record_time,
        )


@pytest.mark.parametrize("seconds", [-62_135_596_800, -1, 253_402_300_799])
async def test_a_level_can_be_asked_for_as_of_any_instant(
    stub: StockQueryServiceAsyncStub, books: psycopg.Connection, seconds: int
) -> None:
    write(books, [movement("WH-1", 1, NEXT_MONTH)])
    request = pb.GetStockLevelAsOfRequest(
        sku="MUG-1", location_id="WH-1", time=Timestamp(seconds=seconds, nanos=999_999_999)
    )
    if seconds < 0:
        info = await as_of_refusal(stub, request)
        assert (info.reason, dict(info.metadata)) == (
            "LEVEL_NOT_FOUND",
            {"sku": "MUG-1", "location_id": "WH-1"},
        )
    else:
        assert (await stub.GetStockLevelAsOf(request, timeout=10)).version == 1
