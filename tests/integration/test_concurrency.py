"""Many callers at once, through two processes of the command service, on the real database."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import psycopg
import pytest

from client import InsufficientStockError, InventoryClient, RequestIdReusedError
from inventory.command.v1 import item_command_service_pb2, location_command_service_pb2
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import (
    MOVEMENT_REASON_REBALANCE,
    MOVEMENT_REASON_RECEIPT,
    MOVEMENT_REASON_SALE,
)
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


async def open_shop(client: InventoryClient, *places: str) -> str:
    """Create an item and places; return the SKU."""
    sku = f"C-{uuid4().hex[:8]}"
    await client.create_item(item_command_service_pb2.CreateItemRequest(sku=sku, name="Mug"))
    for place in places:
        await client.create_location(
            location_command_service_pb2.CreateLocationRequest(
                location_id=place, name=place, kind=LOCATION_KIND_STORE
            )
        )
    return sku


def receipt(sku: str, place: str, quantity: int) -> pb.AddStockRequest:
    """Return a receipt."""
    return pb.AddStockRequest(sku=sku, location_id=place, quantity=quantity, reason=MOVEMENT_REASON_RECEIPT)


def sale(sku: str, place: str, quantity: int, request_id: str = "") -> pb.RemoveStockRequest:
    """Return a sale."""
    return pb.RemoveStockRequest(
        request_id=request_id, sku=sku, location_id=place, quantity=quantity, reason=MOVEMENT_REASON_SALE
    )


async def test_exactly_the_stock_is_sold(stack: RunningStack, second: str) -> None:
    place = f"P-{uuid4().hex[:8]}"
    async with (
        stack.client("a") as one,
        InventoryClient(second, actor="a") as other,
    ):
        sku = await open_shop(one, place)
        await one.add_stock(receipt(sku, place, 100))

        async def buy(client: InventoryClient) -> int:
            try:
                await client.remove_stock(sale(sku, place, 3))
            except InsufficientStockError:
                return 0
            return 3

        sold = sum(await asyncio.gather(*(buy(client) for client in (one, other) for _ in range(100))))
    assert sold == 99
    with psycopg.connect(stack.postgres_url("query")) as connection:
        level = connection.execute(
            "SELECT on_hand, version FROM stock_levels WHERE sku = %s", [sku]
        ).fetchone()
        versions = connection.execute(
            "SELECT array_agg(version ORDER BY version) FROM stock_movements WHERE sku = %s", [sku]
        ).fetchone()
    assert level == (1, 34)
    assert versions == (list(range(1, 35)),)


async def test_the_same_request_many_times_at_once_is_one(stack: RunningStack, second: str) -> None:
    place = f"P-{uuid4().hex[:8]}"
    async with (
        stack.client("a") as client,
        InventoryClient(second, actor="a") as other,
    ):
        both = (client, other)
        sku = await open_shop(client, place)
        await client.add_stock(receipt(sku, place, 100))
        request_id = f"once-{uuid4().hex}"
        answers = await asyncio.gather(
            *(both[n % 2].remove_stock(sale(sku, place, 3, request_id)) for n in range(40))
        )
        assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
        assert answers[0].level.on_hand == 97
        with pytest.raises(RequestIdReusedError):
            await client.remove_stock(sale(sku, place, 4, request_id))

        conflicting = f"either-{uuid4().hex}"
        outcomes = await asyncio.gather(
            *(both[n // 2 % 2].remove_stock(sale(sku, place, 1 + n % 2, conflicting)) for n in range(40)),
            return_exceptions=True,
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, RequestIdReusedError)]
        assert len(refused) == 20
        after = await client.add_stock(receipt(sku, place, 1))
        assert after.level.on_hand in {97, 96}
        assert after.level.version == 4


async def test_moves_in_both_directions_never_deadlock(stack: RunningStack, second: str) -> None:
    places = [f"P-{uuid4().hex[:8]}" for _ in range(2)]
    with psycopg.connect(stack.postgres_url("postgres")) as connection:
        deadlocks = "SELECT sum(deadlocks) FROM pg_stat_database"
        before = connection.execute(deadlocks).fetchone()
        async with (
            stack.client("a") as client,
            InventoryClient(second, actor="a") as other,
        ):
            sku = await open_shop(client, *places)
            for place in places:
                await client.add_stock(receipt(sku, place, 1000))

            async def move(number: int) -> None:
                source, destination = places if number % 2 else places[::-1]
                await (client, other)[number // 2 % 2].move_stock(
                    pb.MoveStockRequest(
                        sku=sku,
                        source_location_id=source,
                        destination_location_id=destination,
                        quantity=1,
                        reason=MOVEMENT_REASON_REBALANCE,
                    )
                )

            await asyncio.gather(*map(move, range(200)))
        connection.rollback()
        assert connection.execute(deadlocks).fetchone() == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock_movements SET on_hand = 0",
        "DELETE FROM stock_movements",
        "TRUNCATE stock_movements",
        "DELETE FROM stock_levels",
        "DELETE FROM requests",
        "UPDATE journal SET part = 0",
    ],
)
def test_the_service_cannot_rewrite_the_past(stack: RunningStack, statement: str) -> None:
    with (
        psycopg.connect(stack.postgres_url("command")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


@pytest.mark.parametrize(
    "change",
    ["on_hand = -1", "reserved = on_hand + 1", "backordered = backorder_limit + 1", "in_transit = -1"],
)
async def test_the_database_holds_the_line_too(stack: RunningStack, change: str) -> None:
    place = f"P-{uuid4().hex[:8]}"
    async with stack.client("a") as client:
        sku = await open_shop(client, place)
        await client.add_stock(receipt(sku, place, 5))
    with (
        psycopg.connect(stack.postgres_url("owner")) as connection,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        connection.execute(f"UPDATE stock_levels SET {change} WHERE sku = '{sku}'")  # noqa: S608
