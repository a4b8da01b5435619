"""History on a real PostgreSQL: every entry once, in order, page by page, while more are written."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import grpc
import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.query.v1.consistency_pb2 import SOURCE_DATABASE
from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceStub
from inventory.query.v1.time_range_pb2 import TimeRange
from inventory.type.v1 import stock_pb2
from inventory.type.v1.stock_pb2 import StockMovement, StockQuantities
from query_svc.config import QuerySettings
from query_svc.server import assemble
from tests.stack_fixture import RunningStack, running_stack

if TYPE_CHECKING:
    from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceAsyncStub

pytestmark = pytest.mark.stack

A = TypeVar("A", pb.GetStockLevelAsOfResponse, pb.GetStockHistoryResponse)

# The first moment of a month, for which migrations have made partitions: this one and the one before it.
NEXT_MONTH = (datetime.now(UTC).replace(day=1) + timedelta(days=32)).replace(
    day=1, hour=0, minute=0, second=0, microsecond=0
)
MAX_PAGES = 1000
ID = UUID("0192f3c4-0000-7000-8000-000000000001")


def plain(answer: A) -> A:
    """Return the answer without its freshness, which says that it is from the database."""
    assert answer.freshness.source == SOURCE_DATABASE
    answer.ClearField("freshness")
    return answer


@pytest.fixture(scope="module")
def database() -> Iterator[RunningStack]:
    """Give a PostgreSQL with the schema, and nothing else."""
    with running_stack("ledger", only=("postgres", "database")) as running:
        yield running


@pytest.fixture
def books(database: RunningStack) -> Iterator[psycopg.Connection]:
    """Give the owner's connection to an empty schema with two items, of which MUG-1 is to be moved."""
    with psycopg.connect(database.postgres_url("owner"), autocommit=True) as connection:
        connection.execute("TRUNCATE items, locations, stock_levels, stock_movements CASCADE")
        connection.execute(
            "INSERT INTO items SELECT sku, 'Mug', '', 'PHYSICAL', 'each', '{}', '{}', '{}', '{}', 'ACTIVE',"
            " 1, now(), now() FROM unnest(ARRAY['MUG-1', 'MUG-2']) AS sku"
        )
        yield connection


@pytest.fixture
async def stub(database: RunningStack) -> AsyncIterator[StockQueryServiceAsyncStub]:
    """Give a stub of the service as its composition root makes it, without a read model."""
    settings = QuerySettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "redis_url": "redis://127.0.0.1:9/0",
            "database_url": database.postgres_url("query"),
            "connect_timeout_seconds": 1,
            "drain_seconds": 0,
        }
    )
    async with assemble(settings) as server:
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield StockQueryServiceStub(channel)
        await server.shut_down()


def movement(location_id: str, version: int, record_time: datetime) -> StockMovement:
    """Return an entry of MUG-1 whose every field differs."""
    entry = StockMovement(
        sku="MUG-1",
        location_id=location_id,
        version=version,
        kind=stock_pb2.MOVEMENT_KIND_MOVE_OUT,
        reason=stock_pb2.MOVEMENT_REASON_SUPPLIER_RETURN,
        delta=StockQuantities(on_hand=-1, reserved=-2, backordered=3, in_transit=4),
        result=StockQuantities(on_hand=10**15, reserved=6, backordered=7, in_transit=8),
        actor="alice",
        reference="PO-1",
        request_id="r-1",
        transaction_id=str(ID),
        lot_id="LOT-1",
        supplier="ACME",
    )
    entry.occur_time.FromDatetime(record_time - timedelta(hours=1))
    entry.record_time.FromDatetime(record_time)
    return entry


def write(books: psycopg.Connection, entries: list[StockMovement]) -> None:
    """Record entries, as the command service would."""
    with books.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO stock_movements VALUES"
            " (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    *(one.sku, one.location_id, one.version),
                    stock_pb2.MovementKind.Name(one.kind).removeprefix("MOVEMENT_KIND_"),
                    stock_pb2.MovementReason.Name(one.reason).removeprefix("MOVEMENT_REASON_"),
                    *(one.delta.on_hand, one.delta.reserved, one.delta.backordered, one.delta.in_transit),
                    *(one.result.on_hand, one.result.reserved, one.result.backordered, one.result.in_transit),
                    *(one.actor, one.reference, one.request_id, UUID(one.transaction_id)),
                    one.occur_time.ToDatetime(UTC),
                    one.record_time.ToDatetime(UTC),
                    *(one.lot_id, one.supplier),
                )
                for one in entries
            ],
        )


def around_the_turn_of_the_month(count: int) -> list[StockMovement]:
    """Return entries on both sides of it, many of the same moment, a few microseconds apart, in no order."""
    rng = random.Random(3)
    versions = dict.fromkeys(("WH-1", "WH-2", "WH-3"), 0)
    entries = []
    moment = NEXT_MONTH - timedelta(microseconds=count // 3)
    for _ in range(count):
        moment += timedelta(microseconds=rng.choice([0, 0, 1, 2]))
        place = rng.choice(list(versions))
        versions[place] += 1
        entries.append(movement(place, versions[place], moment))
    rng.shuffle(entries)
    return entries


def in_order(entries: list[StockMovement], *, newest_first: bool) -> list[StockMovement]:
    """Sort entries as the contract says."""
    return sorted(
        entries,
        key=lambda one: (one.record_time.ToNanoseconds(), one.location_id, one.version),
        reverse=newest_first,
    )


async def pages(
    stub: StockQueryServiceAsyncStub, request: pb.GetStockHistoryRequest
) -> AsyncIterator[list[StockMovement]]:
    """Follow the tokens to the end."""
    for _ in range(MAX_PAGES):
        answer = await stub.GetStockHistory(request, timeout=10)
        yield list(answer.movements)
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token
    raise AssertionError("the pages do not end")


def moment(instant: datetime) -> Timestamp:
    """Return an instant as a message."""
    message = Timestamp()
    message.FromDatetime(instant)
    return message


async def refusal(
    stub: StockQueryServiceAsyncStub, request: pb.GetStockHistoryRequest
) -> error_details_pb2.ErrorInfo:
    """Return why the call is refused; fail if it is not."""
    return await reason(stub.GetStockHistory(request, timeout=10))


async def as_of_refusal(
    stub: StockQueryServiceAsyncStub, request: pb.GetStockLevelAsOfRequest
) -> error_details_pb2.ErrorInfo:
    """Return why the call is refused; fail if it is not."""
    return await reason(stub.GetStockLevelAsOf(request, timeout=10))


async def reason(call: Awaitable[object]) -> error_details_pb2.ErrorInfo:
    """Return why a call is refused; fail if it is not."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    packed = (refused.value.trailing_metadata() or {})["grpc-status-details-bin"]
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(packed).details[0].Unpack(info)
    return info


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


def nanoseconds(one: StockMovement) -> int:
    """Return when an entry was recorded."""
    return one.record_time.ToNanoseconds()


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
