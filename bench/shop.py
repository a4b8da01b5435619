"""What the benchmark sells: items at one place, so well stocked that nothing is ever refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bench.calls import PLACE
from client import InventoryClient
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest, BatchStockRequest, StockCommand
from inventory.type.v1.location_pb2 import LOCATION_KIND_WAREHOUSE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_OPENING

SKUS = [f"BENCH-{number:04}" for number in range(1000)]
OPENING = 10**11
AT_ONCE = 50
PATIENCE = 60.0


async def open_shop(address: str) -> None:
    """Create the place, the items and their levels through the command service at `address`."""
    async with InventoryClient(address, actor="bench", timeout=PATIENCE) as client:
        await client.create_location(
            CreateLocationRequest(location_id=PLACE, name="Bench", kind=LOCATION_KIND_WAREHOUSE)
        )
        for start in range(0, len(SKUS), AT_ONCE):
            part = SKUS[start : start + AT_ONCE]
            await asyncio.gather(
                *(client.create_item(CreateItemRequest(sku=sku, name="Mug")) for sku in part)
            )
        answer = await client.batch_stock(BatchStockRequest(atomic=True, commands=list(map(_opening, SKUS))))
        if len(answer.results) != len(SKUS):
            raise RuntimeError("the levels were not opened")


def some(count: int) -> Sequence[str]:
    """Return so many of the items."""
    return SKUS[:count]


def _opening(sku: str) -> StockCommand:
    return StockCommand(
        add=AddStockRequest(sku=sku, location_id=PLACE, quantity=OPENING, reason=MOVEMENT_REASON_OPENING)
    )
