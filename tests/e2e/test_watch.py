"""Watching through the front door while what stands behind it is killed, and a thousand at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from client import InventoryClient, RetryPolicy
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest, BatchStockRequest, StockCommand
from inventory.query.v1.stock_query_service_pb2 import WatchStockRequest, WatchStockResponse
from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceStub
from inventory.type.v1.location_pb2 import LOCATION_KIND_WAREHOUSE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from tests.door import Door
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

PATIENT = RetryPolicy(attempts=100, first_pause=0.05, longest_pause=0.5, reserve=math.inf)
MEBIBYTE = 1024 * 1024


class Shelf:
    """An item at a place, both of the test's own."""

    def __init__(self, client: InventoryClient) -> None:
        self.client = client
        suffix = uuid4().hex[:8]
        self.sku, self.place = f"MUG-{suffix}", f"WH-{suffix}"

    async def set_up(self) -> None:
        """Create both."""
        await self.client.create_item(CreateItemRequest(sku=self.sku, name="Mug"))
        await self.client.create_location(
            CreateLocationRequest(location_id=self.place, name="North", kind=LOCATION_KIND_WAREHOUSE)
        )

    async def receive(self, times: int = 1) -> None:
        """Receive a unit so many times, in one transaction."""
        one = AddStockRequest(
            sku=self.sku, location_id=self.place, quantity=1, reason=MOVEMENT_REASON_RECEIPT
        )
        await self.client.batch_stock(BatchStockRequest(commands=[StockCommand(add=one)] * times))


@pytest.fixture
async def shelf(stack: RunningStack) -> AsyncIterator[Shelf]:
    async with stack.client("test", timeout=30, retry=PATIENT) as client:
        shelf = Shelf(client)
        await shelf.set_up()
        yield shelf


KILLS = {10: "projector", 20: "query", 30: "projector", 40: "valkey"}


async def receive_and_kill(shelf: Shelf, stack: RunningStack, rounds: int, batch: int) -> None:
    """Receive units, and kill a program in some rounds."""
    for number in range(rounds):
        await shelf.receive(batch)
        if number in KILLS:
            victim = KILLS[number]
            stack.kill(stack.active_projector() if victim == "projector" else victim)
        await asyncio.sleep(0.1)


async def test_whatever_is_killed_every_change_is_told_in_turn(shelf: Shelf, stack: RunningStack) -> None:
    rounds, batch = 60, 5
    last = rounds * batch
    found: list[int] = []
    async with (
        asyncio.timeout(100),
        Door(stack.edge) as door,
        stack.client("test", door.address, retry=PATIENT) as client,
    ):
        selling: asyncio.Task[None] | None = None
        async for message in client.watch_stock(WatchStockRequest(skus=[shelf.sku], include_current=True)):
            if selling is None and message.cursor:
                selling = asyncio.create_task(receive_and_kill(shelf, stack, rounds, batch))
            for told in message.changes:
                assert told.movement.result.on_hand == told.movement.version
                found.append(told.movement.version)
                if len(found) in {50, 150}:
                    await door.cut()
            if found and found[-1] >= last:
                break
        assert selling is not None
        await selling
    assert found == list(range(1, last + 1))


async def test_a_thousand_watch_at_once(shelf: Shelf, stack: RunningStack) -> None:
    number, rounds = 1000, 5
    before = _resident(stack.pid("query"))
    channels = [stack.channel([("number", channel)]) for channel in range(4)]
    metadata = stack.metadata()
    async with asyncio.timeout(100):
        watches = [
            StockQueryServiceStub(channels[index % len(channels)]).WatchStock(
                WatchStockRequest(skus=[] if index % 2 else [shelf.sku]), metadata=metadata
            )
            for index in range(number)
        ]

        async def follow(watch: grpc.aio.UnaryStreamCall[WatchStockRequest, WatchStockResponse]) -> list[int]:
            found: list[int] = []
            while len(found) < rounds:
                message = await watch.read()
                assert isinstance(message, WatchStockResponse)
                found += [told.movement.version for told in message.changes if told.movement.sku == shelf.sku]
            watch.cancel()
            return found

        for watch in watches:
            assert isinstance(await watch.read(), WatchStockResponse)
        grown = _resident(stack.pid("query")) - before
        following = [asyncio.create_task(follow(watch)) for watch in watches]
        for _ in range(rounds):
            await shelf.receive()
        assert await asyncio.gather(*following) == [list(range(1, rounds + 1))] * number
    for channel in channels:
        await channel.close()
    print(f"{grown / MEBIBYTE:.0f} MiB for {number} watches")  # noqa: T201 - shown when asked for
    assert grown < 150 * MEBIBYTE


def _resident(pid: int) -> int:
    """Return the bytes that a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024
