"""What has been closed for long is answered by the database, what the view keeps by the view."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.levels import LevelKey
from command_svc.domain.orders import OrderOutcome, PlaceOrder
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock
from inventory.query.v1 import consistency_pb2 as pb
from inventory.query.v1 import order_query_service_pb2 as orders
from inventory.type.v1.order_pb2 import ORDER_STATE_OPEN, OrderState
from tests.integration.freshness.world import World, refused
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack
TERMS = Terms(Strategy("PRIORITY"))


async def test_what_has_left_the_view_is_answered_by_the_database(
    world: World, database: RunningStack
) -> None:
    """By its id, and in lists that name a time so long ago; any other list is the view's."""
    north, mug = await world.story.place("north"), await world.story.item("mug")
    await world.story.all(AddStock(LevelKey(mug, north), 9, "RECEIPT"))
    placing = PlaceOrder((WantedLine(mug, north, 1),), TERMS)
    first, second = [str((await world.story.one(placing, OrderOutcome)).order.order_id) for _ in range(2)]
    await world.project()
    long_ago = datetime.now(UTC) - timedelta(days=40)
    left = str(uuid.UUID(int=int(long_ago.timestamp() * 1000) << 80 | 7 << 76 | 1 << 63))
    with psycopg.connect(database.postgres_url("owner"), autocommit=True) as connection:
        connection.execute(
            "UPDATE orders SET order_id = %s, state = 'CANCELLED', create_time = %s, update_time = %s"
            " WHERE order_id = %s",
            (left, long_ago, long_ago, first),
        )
    answer = await world.orders.GetOrder(orders.GetOrderRequest(order_id=left), timeout=5)
    assert (answer.order.order_id, answer.freshness.source) == (left, pb.SOURCE_DATABASE)
    assert not answer.freshness.degraded
    token = orders.GetOrderRequest(order_id=left, consistency=world.newest())
    assert (await world.orders.GetOrder(token, timeout=5)).order == answer.order
    unknown = orders.GetOrderRequest(order_id=left[:-1] + "1")
    assert await refused(world.orders.GetOrder(unknown, timeout=5)) == "ORDER_NOT_FOUND"

    async def listed(start: datetime | None, *states: OrderState.ValueType) -> tuple[list[str], bool]:
        request = orders.ListOrdersRequest(filter=orders.OrderFilter(sku=mug, states=states))
        if start:
            request.filter.create_time.start.FromDatetime(start)
        found = await world.orders.ListOrders(request, timeout=5)
        from_database = found.freshness.source == pb.SOURCE_DATABASE
        assert not found.freshness.degraded
        return [order.order_id for order in found.orders], from_database

    assert await listed(long_ago - timedelta(days=1)) == ([second, left], True)
    assert await listed(long_ago + timedelta(days=11)) == ([second, first], False)
    assert await listed(None) == ([second, first], False)
    assert await listed(long_ago, ORDER_STATE_OPEN) == ([second, first], False)
