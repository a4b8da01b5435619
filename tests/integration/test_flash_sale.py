"""A thousand callers for a hundred units, each in another way, through two processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from uuid import uuid4

import psycopg
import pytest

from client import InsufficientStockError, InventoryClient, RetryPolicy
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.order_command_service_pb2 import PlaceLine, PlaceOrderRequest
from inventory.command.v1.reservation_command_service_pb2 import ReserveLine, ReserveStockRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.command.v1.transfer_command_service_pb2 import DispatchLine, DispatchTransferRequest
from inventory.type.v1.item_pb2 import ITEM_KIND_BUNDLE, BundleComponent
from inventory.type.v1.location_pb2 import LOCATION_KIND_WAREHOUSE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from tests.stack_fixture import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

UNITS = 100
CALLERS = 1000
# So many at once are not let in by the sidecar; who is told to come again does.
PATIENT = RetryPolicy(attempts=1000)
# The figures, and whether the ledger sums up to them.
LEVELS = """
SELECT l.sku, l.location_id, l.on_hand, l.reserved, l.in_transit, l.backordered,
    (l.on_hand, l.reserved, l.in_transit, l.backordered, l.version)
    = (sum(m.on_hand_delta), sum(m.reserved_delta), sum(m.in_transit_delta), sum(m.backordered_delta),
       count(*))
FROM stock_levels AS l JOIN stock_movements AS m USING (sku, location_id)
WHERE sku = ANY(%s) GROUP BY l.sku, l.location_id ORDER BY l.sku, l.location_id
"""


@dataclass(frozen=True)
class Sale:
    """What everybody wants: the mug, alone or as a gift with a pen, from the house or sent to the shop."""

    mug: str
    pen: str
    gift: str
    house: str
    shop: str

    async def open(self, client: InventoryClient) -> None:
        """Create it all, with UNITS mugs and as many pens as anybody could ask for."""
        for sku in (self.mug, self.pen):
            await client.create_item(CreateItemRequest(sku=sku, name=sku))
        both = [BundleComponent(sku=sku, quantity=1) for sku in (self.mug, self.pen)]
        await client.create_item(
            CreateItemRequest(sku=self.gift, name="Gift", kind=ITEM_KIND_BUNDLE, components=both)
        )
        for place in (self.house, self.shop):
            kind = LOCATION_KIND_WAREHOUSE
            await client.create_location(CreateLocationRequest(location_id=place, name=place, kind=kind))
        for sku, quantity in ((self.mug, UNITS), (self.pen, CALLERS)):
            reason = MOVEMENT_REASON_RECEIPT
            await client.add_stock(
                AddStockRequest(sku=sku, location_id=self.house, quantity=quantity, reason=reason)
            )

    async def reserve(self, client: InventoryClient) -> str:
        """Hold a mug."""
        line = ReserveLine(sku=self.mug, location_id=self.house, quantity=1)
        await client.reserve_stock(ReserveStockRequest(lines=[line]))
        return "reserved"

    async def order(self, client: InventoryClient) -> str:
        """Order a mug."""
        line = PlaceLine(sku=self.mug, location_id=self.house, quantity=1)
        await client.place_order(PlaceOrderRequest(lines=[line]))
        return "ordered"

    async def give(self, client: InventoryClient) -> str:
        """Order a gift, which takes a mug and a pen."""
        line = PlaceLine(sku=self.gift, location_id=self.house, quantity=1)
        await client.place_order(PlaceOrderRequest(lines=[line]))
        return "given"

    async def send(self, client: InventoryClient) -> str:
        """Send a mug to the shop."""
        request = DispatchTransferRequest(
            source_location_id=self.house,
            destination_location_id=self.shop,
            lines=[DispatchLine(sku=self.mug, quantity=1)],
        )
        await client.dispatch_transfer(request)
        return "sent"


async def test_a_hundred_units_are_promised_or_sent_a_hundred_times(stack: RunningStack, second: str) -> None:
    name = uuid4().hex[:8]
    sale = Sale(*(f"{word}-{name}" for word in ("mug", "pen", "gift", "house", "shop")))
    ways = (sale.reserve, sale.order, sale.give, sale.send)

    async def call(number: int) -> str:
        try:
            return await ways[number % 4](clients[number // 4 % 2])
        except InsufficientStockError:
            return "sold out"

    async with (
        stack.client("sale", timeout=120, retry=PATIENT) as one,
        InventoryClient(second, actor="sale", timeout=120, retry=PATIENT) as other,
    ):
        clients = (one, other)
        await sale.open(one)
        ends = Counter(await asyncio.gather(*map(call, range(CALLERS))))

    assert ends["sold out"] == CALLERS - UNITS
    promised = UNITS - ends["sent"]
    with psycopg.connect(stack.postgres_url("query")) as connection:
        levels = connection.execute(LEVELS, [[sale.mug, sale.pen]]).fetchall()
    assert levels == [
        (sale.mug, sale.house, promised, promised, 0, 0, True),
        (sale.mug, sale.shop, 0, 0, ends["sent"], 0, True),
        (sale.pen, sale.house, CALLERS, ends["given"], 0, 0, True),
    ]
