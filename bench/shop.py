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
from stack import tokens
from stack.issuer.granting import LONGEST_LIFETIME
from tests.stack_fixture import RunningStack

SKUS = [f"BENCH-{number:04}" for number in range(1000)]
# Where the items lie beside PLACE, for what sums over places.
MORE_PLACES = [f"BENCH-{number}" for number in range(2, 6)]
OPENING = 10**11
AT_ONCE = 50
PATIENCE = 60.0


def token(stack: RunningStack) -> str:
    """Return a token that lasts for the whole benchmark."""
    asked = tokens.form(stack, "bench", tokens.EVERY_ROLE)
    return tokens.fetch(stack, asked | {"expires_in": str(LONGEST_LIFETIME)})


async def open_shop(stack: RunningStack) -> None:
    """Create the place, the items and their levels through the command service."""
    async with stack.client("bench", stack.command, "command", timeout=PATIENCE) as client:
        await _create_place(client, PLACE)
        for start in range(0, len(SKUS), AT_ONCE):
            part = SKUS[start : start + AT_ONCE]
            await asyncio.gather(
                *(client.create_item(CreateItemRequest(sku=sku, name="Mug")) for sku in part)
            )
        await _open(client, PLACE)


async def spread(stack: RunningStack) -> None:
    """Stock every item at MORE_PLACES too."""
    async with stack.client("bench", stack.command, "command", timeout=PATIENCE) as client:
        for place in MORE_PLACES:
            await _create_place(client, place)
            await _open(client, place)


async def _create_place(client: InventoryClient, place: str) -> None:
    await client.create_location(
        CreateLocationRequest(location_id=place, name="Bench", kind=LOCATION_KIND_WAREHOUSE)
    )


async def _open(client: InventoryClient, place: str) -> None:
    commands = [_opening(sku, place) for sku in SKUS]
    answer = await client.batch_stock(BatchStockRequest(atomic=True, commands=commands))
    if len(answer.results) != len(SKUS):
        raise RuntimeError("the levels were not opened")


def some(count: int) -> Sequence[str]:
    """Return so many of the items."""
    return SKUS[:count]


def _opening(sku: str, place: str) -> StockCommand:
    return StockCommand(
        add=AddStockRequest(sku=sku, location_id=place, quantity=OPENING, reason=MOVEMENT_REASON_OPENING)
    )
