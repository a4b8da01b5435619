"""History on a real PostgreSQL: every entry once, in order, page by page, while more are written."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import psycopg
import pytest

from inventory.query.v1 import stock_query_service_pb2 as pb
from tests.integration.ledger.entries import (
    NEXT_MONTH,
    around_the_turn_of_the_month,
    in_order,
    movement,
    pages,
    plain,
    refusal,
    write,
)
from tests.stack_fixture import RunningStack

if TYPE_CHECKING:
    from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceAsyncStub

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("order", [pb.HISTORY_ORDER_UNSPECIFIED, pb.HISTORY_ORDER_OLDEST_FIRST])
@pytest.mark.parametrize("location_id", ["", "WH-2"])
@pytest.mark.parametrize("size", [1, 7, 120, 121, 1000])
async def test_pages_hold_every_entry_once_in_order(
    stub: StockQueryServiceAsyncStub,
    books: psycopg.Connection,
    order: pb.HistoryOrder.ValueType,
    location_id: str,
    size: int,
) -> None:
    entries = around_the_turn_of_the_month(120)
    write(books, entries)
    request = pb.GetStockHistoryRequest(sku="MUG-1", location_id=location_id, order_by=order, page_size=size)
    found = [page async for page in pages(stub, request)]
    wanted = [one for one in entries if location_id in ("", one.location_id)]
    newest_first = order != pb.HISTORY_ORDER_OLDEST_FIRST
    assert [one for page in found for one in page] == in_order(wanted, newest_first=newest_first)
    assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
    assert found[-1]


@pytest.mark.parametrize("order", [pb.HISTORY_ORDER_NEWEST_FIRST, pb.HISTORY_ORDER_OLDEST_FIRST])
async def test_entries_that_arrive_meanwhile_neither_shift_nor_repeat_any(
    stub: StockQueryServiceAsyncStub, books: psycopg.Connection, order: pb.HistoryOrder.ValueType
) -> None:
    entries = in_order(around_the_turn_of_the_month(60), newest_first=False)
    write(books, entries)
    arrived = iter(range(1000))
    found = []
    async for page in pages(stub, pb.GetStockHistoryRequest(sku="MUG-1", order_by=order, page_size=9)):
        found += page
        number = next(arrived)
        if number < 10:
            later = NEXT_MONTH + timedelta(seconds=1 + number)
            write(books, [movement(f"WH-{number % 4}", 1000 + number, later)])
    newest_first = order == pb.HISTORY_ORDER_NEWEST_FIRST
    kept = [one for one in found if one.version < 1000]
    assert kept == in_order(entries, newest_first=newest_first)


async def test_a_page_is_of_100_unless_asked_otherwise(
    stub: StockQueryServiceAsyncStub, books: psycopg.Connection
) -> None:
    write(books, around_the_turn_of_the_month(101))
    found = [len(page) async for page in pages(stub, pb.GetStockHistoryRequest(sku="MUG-1"))]
    assert found == [100, 1]


async def test_an_item_that_never_moved_has_an_empty_history(
    stub: StockQueryServiceAsyncStub, books: psycopg.Connection
) -> None:
    write(books, around_the_turn_of_the_month(5))
    for request in (
        pb.GetStockHistoryRequest(sku="MUG-2"),
        pb.GetStockHistoryRequest(sku="MUG-1", location_id="nowhere"),
    ):
        assert plain(await stub.GetStockHistory(request, timeout=10)) == pb.GetStockHistoryResponse()


async def test_an_unknown_item_is_not_found(
    stub: StockQueryServiceAsyncStub, books: psycopg.Connection
) -> None:
    assert books
    info = await refusal(stub, pb.GetStockHistoryRequest(sku="NO-SUCH"))
    assert (info.reason, dict(info.metadata)) == ("ITEM_NOT_FOUND", {"sku": "NO-SUCH"})


async def test_the_connections_cannot_write(database: RunningStack, books: psycopg.Connection) -> None:
    assert books
    with (
        psycopg.connect(database.postgres_url("query")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM stock_movements")


async def test_history_is_back_when_the_database_is(
    stub: StockQueryServiceAsyncStub, books: psycopg.Connection, database: RunningStack
) -> None:
    write(books, around_the_turn_of_the_month(5))
    request = pb.GetStockHistoryRequest(sku="MUG-1")
    await stub.GetStockHistory(request, timeout=10)
    database.kill("postgres")
    info = await refusal(stub, request)
    assert (info.reason, dict(info.metadata)) == ("DEPENDENCY_UNAVAILABLE", {"dependency": "database"})
    database.wait_ready("postgres")
    for _ in range(20):  # each broken connection of the pool may cost one call
        try:
            answer = await stub.GetStockHistory(request, timeout=10)
        except grpc.aio.AioRpcError:
            continue
        assert len(answer.movements) == 5
        return
    raise AssertionError("history does not come back")
