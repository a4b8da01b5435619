"""A good caller that goes on while others do harm, and what the ledger says of both."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from client import InventoryClient, RetryPolicy
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from tests.stack_fixture import RunningStack

CALLERS = 4
PAUSE = 0.02
PATIENCE = 60


class Trade:
    """Commands for an item and a place of their own, each tried once."""

    def __init__(self, mesh: RunningStack) -> None:
        name = uuid.uuid4().hex[:8].upper()
        self.mesh = mesh
        self.sku, self.place = f"TRADE-{name}", f"PLACE-{name}"
        self.answered: set[str] = set()
        self._over = asyncio.Event()

    def command(self, request_id: str) -> AddStockRequest:
        """Return a command that would be carried out, whoever sends it."""
        return AddStockRequest(
            request_id=request_id,
            sku=self.sku,
            location_id=self.place,
            quantity=1,
            reason=MOVEMENT_REASON_RECEIPT,
        )

    async def open(self, client: InventoryClient) -> None:
        """Create what the commands are about."""
        await client.create_item(CreateItemRequest(sku=self.sku, name="Mug"))
        await client.create_location(
            CreateLocationRequest(location_id=self.place, name="Place", kind=LOCATION_KIND_STORE)
        )

    async def carry_on(self, client: InventoryClient, caller: int) -> None:
        """Send one command after the other until it is over; raises the error of the first that fails."""
        turn = 0
        while not self._over.is_set():
            request_id = f"{self.sku}-{caller}-{turn}"
            await client.add_stock(self.command(request_id))
            self.answered.add(request_id)
            turn += 1
            await asyncio.sleep(PAUSE)

    async def goes_on(self) -> None:
        """Return when some more have been answered, whatever happens meanwhile."""
        enough = len(self.answered) + 2 * CALLERS
        async with asyncio.timeout(PATIENCE):
            while len(self.answered) < enough:  # noqa: ASYNC110 - the callers know nothing of it
                await asyncio.sleep(PAUSE)

    def end(self) -> None:
        """Send no more."""
        self._over.set()

    def ledger(self) -> Counter[str]:
        """Return how often each request is in the ledger, whoever sent it."""
        query = "SELECT request_id FROM stock_movements WHERE sku = %s"
        with psycopg.connect(self.mesh.postgres_url("query")) as connection:
            return Counter(request_id for (request_id,) in connection.execute(query, (self.sku,)))


@asynccontextmanager
async def trading(mesh: RunningStack) -> AsyncIterator[Trade]:
    """Have good callers at work; at the end each of their commands is in the ledger once, and no other."""
    trade = Trade(mesh)
    once = RetryPolicy(attempts=1)
    async with mesh.client("trade", timeout=PATIENCE, retry=once) as client:
        await trade.open(client)
        async with asyncio.TaskGroup() as group:
            for caller in range(CALLERS):
                group.create_task(trade.carry_on(client, caller))
            await trade.goes_on()
            yield trade
            await trade.goes_on()
            trade.end()
    assert trade.ledger() == dict.fromkeys(trade.answered, 1)
