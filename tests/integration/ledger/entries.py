"""Entries of the ledger as the command service writes them, and what is asked about them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable
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
from inventory.type.v1 import stock_pb2
from inventory.type.v1.stock_pb2 import StockMovement, StockQuantities

if TYPE_CHECKING:
    from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceAsyncStub

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


def nanoseconds(one: StockMovement) -> int:
    """Return when an entry was recorded."""
    return one.record_time.ToNanoseconds()
