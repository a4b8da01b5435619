"""Stock commands from the broker, through the stack as it runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cdc.topics import STOCK_COMMANDS, STOCK_FAILURES
from client import InsufficientStockError, InventoryClient, NotFoundError, error_from_status
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_failure_pb2 import StockCommandFailure
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT, MOVEMENT_REASON_SALE
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

PATIENCE = 60.0


class Counter:
    """An item at a place, whose commands go over the broker."""

    def __init__(self, stack: RunningStack, client: InventoryClient) -> None:
        name = uuid4().hex[:8]
        self._stack = stack
        self.client = client
        self.sku, self.place = f"MUG-{name}", f"place-{name}"

    async def open(self) -> None:
        """Create the item and the place."""
        await self.client.create_item(CreateItemRequest(sku=self.sku, name="Mug"))
        await self.client.create_location(
            CreateLocationRequest(location_id=self.place, name="Place", kind=LOCATION_KIND_STORE)
        )

    def add(self, quantity: int) -> pb.AddStockRequest:
        """Return a receipt."""
        return pb.AddStockRequest(
            sku=self.sku, location_id=self.place, quantity=quantity, reason=MOVEMENT_REASON_RECEIPT
        )

    def sell(self, quantity: int) -> pb.RemoveStockRequest:
        """Return a sale."""
        return pb.RemoveStockRequest(
            sku=self.sku, location_id=self.place, quantity=quantity, reason=MOVEMENT_REASON_SALE
        )

    def produce(self, *commands: pb.StockCommand) -> None:
        """Write commands to the topic."""
        producer = Producer({"bootstrap.servers": self._stack.bootstrap_servers})
        for command in commands:
            producer.produce(STOCK_COMMANDS, command.SerializeToString(), self.sku)
        assert producer.flush(PATIENCE) == 0

    async def shown(self, on_hand: int) -> None:
        """Wait until the query side shows so many."""
        wanted = GetStockLevelRequest(sku=self.sku, location_id=self.place)
        deadline = time.monotonic() + PATIENCE
        found = -1
        while found != on_hand:
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.05)
            try:
                found = (await self.client.get_stock_level(wanted)).level.on_hand
            except NotFoundError:
                continue


@pytest.fixture
async def counter(stack: RunningStack) -> AsyncIterator[Counter]:
    async with stack.client("test") as client:
        counter = Counter(stack, client)
        await counter.open()
        yield counter


async def test_a_command_over_the_broker_is_seen_and_a_refusal_is_told(
    counter: Counter, stack: RunningStack
) -> None:
    reader = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "test"})
    partitions = reader.list_topics(STOCK_FAILURES).topics[STOCK_FAILURES].partitions
    ends = {
        one: await asyncio.to_thread(reader.get_watermark_offsets, TopicPartition(STOCK_FAILURES, one))
        for one in partitions
    }
    reader.assign([TopicPartition(STOCK_FAILURES, one, end) for one, (_, end) in ends.items()])
    counter.produce(
        pb.StockCommand(add=counter.add(5)),
        pb.StockCommand(remove=counter.sell(9)),
        pb.StockCommand(remove=counter.sell(2)),
    )
    await counter.shown(3)
    message = await asyncio.to_thread(reader.poll, PATIENCE)
    reader.close()
    assert message is not None
    failure = StockCommandFailure.FromString(message.value() or b"")
    assert failure.command.remove == counter.sell(9)
    error = error_from_status(failure.error)
    assert isinstance(error, InsufficientStockError)
    assert error.metadata["available"] == "5"


async def test_without_the_broker_calls_are_served_and_what_waits_is_carried_out_afterwards(
    counter: Counter, stack: RunningStack
) -> None:
    counter.produce(pb.StockCommand(add=counter.add(5)))
    await counter.shown(5)
    await _health(stack, "stock-commands", health_pb2.HealthCheckResponse.SERVING)
    stack.kill("broker")
    await _health(stack, "stock-commands", health_pb2.HealthCheckResponse.NOT_SERVING)
    await _health(stack, "inventory.command.v1.StockCommandService", health_pb2.HealthCheckResponse.SERVING)
    assert (await counter.client.add_stock(counter.add(1))).level.on_hand == 6
    stack.wait_ready("broker")
    counter.produce(pb.StockCommand(remove=counter.sell(2)))
    await counter.shown(4)
    await _health(stack, "stock-commands", health_pb2.HealthCheckResponse.SERVING)


async def _health(stack: RunningStack, name: str, wanted: int) -> None:
    """Wait until health says so of the command service itself."""
    deadline = time.monotonic() + PATIENCE
    async with stack.channel(to="command", identity="command") as channel:
        ask = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
        while (await ask(health_pb2.HealthCheckRequest(service=name), timeout=5)).status != wanted:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
