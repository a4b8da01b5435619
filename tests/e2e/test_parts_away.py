"""Parts of the pipeline stop and start: queries go on, say how old they are, and recover by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from client import InventoryClient
from inventory.admin.v1.pipeline_service_pb2 import (
    READER_STATE_READING,
    GetPipelineStatusRequest,
    GetPipelineStatusResponse,
)
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.query.v1 import consistency_pb2 as pb
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest
from inventory.type.v1.location_pb2 import LOCATION_KIND_WAREHOUSE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from stack.supervisor import Supervisor
from tests.stack_fixture import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(240)]

PATIENCE = 90


class Shop:
    """A level that grows by one with every sale to it."""

    def __init__(self, client: InventoryClient) -> None:
        self.sku = self.place = f"away-{uuid4().hex[:8]}"
        self.units = 0
        self._client = client

    async def open(self) -> None:
        """Create the item and the place."""
        await self._client.create_location(
            CreateLocationRequest(location_id=self.place, name="Shop", kind=LOCATION_KIND_WAREHOUSE)
        )
        await self._client.create_item(CreateItemRequest(sku=self.sku, name="Mug"))
        await self.add()

    async def add(self) -> None:
        """Add a unit."""
        reason = MOVEMENT_REASON_RECEIPT
        await self._client.add_stock(
            AddStockRequest(sku=self.sku, location_id=self.place, quantity=1, reason=reason)
        )
        self.units += 1

    async def read(self) -> pb.Freshness:
        """Read as of the newest command, and check that it shows."""
        answer = await self._client.get_stock_level(
            GetStockLevelRequest(sku=self.sku, location_id=self.place)
        )
        assert answer.level.on_hand == self.units
        return answer.freshness

    async def until(self, wanted: Callable[[pb.Freshness], bool]) -> pb.Freshness:
        """Read until the answer is such; every answer on the way holds the newest command too."""
        deadline = time.monotonic() + PATIENCE
        while not wanted(freshness := await self.read()):
            assert time.monotonic() < deadline, freshness
            await asyncio.sleep(0.1)
        return freshness


@pytest.fixture
async def shop(stack: RunningStack) -> AsyncIterator[Shop]:
    """Give a shop that is open, and whose level the view shows."""
    async with stack.client("away", timeout=20) as client:
        shop = Shop(client)
        await shop.open()
        await shop.until(in_view)
        yield shop


def in_view(freshness: pb.Freshness) -> bool:
    """Tell whether all is as usual."""
    return freshness.source != pb.SOURCE_DATABASE and not freshness.degraded


async def test_a_broker_that_is_back_is_told_as_back(stack: RunningStack) -> None:
    async with stack.client("operator", timeout=20) as client:

        async def until(wanted: Callable[[GetPipelineStatusResponse], bool], seconds: float) -> None:
            deadline = time.monotonic() + seconds
            while not wanted(status := await client.get_pipeline_status(GetPipelineStatusRequest())):
                assert time.monotonic() < deadline, status
                await asyncio.sleep(0.2)

        for _ in range(3):
            stack.kill("broker")
            stack.wait_ready("broker")
            await until(lambda status: "broker" not in [one.part for one in status.unavailable], 10)
        await until(lambda status: all(one.state == READER_STATE_READING for one in status.readers), PATIENCE)


@pytest.mark.parametrize("part", ["valkey", "broker", "connect"])
async def test_what_is_written_is_read_while_a_part_is_away(
    stack: RunningStack, shop: Shop, part: str
) -> None:
    supervisor = Supervisor(stack.home)
    supervisor.stop_program(part)
    try:
        await shop.add()
        freshness = await shop.read()
        assert (freshness.source, freshness.degraded) == (pb.SOURCE_DATABASE, True)
    finally:
        supervisor.start_program(part)
        stack.wait_ready(part)
    await shop.until(in_view)


async def test_a_view_of_which_the_commits_are_cut_off_tells_its_age(stack: RunningStack, shop: Shop) -> None:
    supervisor = Supervisor(stack.home)
    supervisor.stop_program("connect")
    try:
        freshness = await shop.until(lambda freshness: freshness.degraded)
        assert freshness.source == pb.SOURCE_VIEW  # what it asks for had arrived before
        assert freshness.age.ToTimedelta() > timedelta(seconds=5)
    finally:
        supervisor.start_program("connect")
        stack.wait_ready("connect")
    freshness = await shop.until(in_view)
    assert freshness.age.ToTimedelta() < timedelta(seconds=5)
