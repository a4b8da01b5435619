"""Whoever brings a token reads nothing older, however slow the projector is."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from uuid import uuid4

import pytest

from client import InventoryClient
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.query.v1 import consistency_pb2 as pb
from inventory.query.v1 import stock_query_service_pb2 as query
from inventory.type.v1.location_pb2 import LOCATION_KIND_WAREHOUSE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT, LevelName, StockLevel
from tests.stack_fixture import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(180)]

SECONDS = 60
WRITERS = 6
READERS = 6


class Market:
    """Levels that only grow, so that an older answer shows."""

    def __init__(self, client: InventoryClient, rng: random.Random) -> None:
        self.place = f"place-{uuid4().hex[:8]}"
        self.skus = [f"item-{number}-{uuid4().hex[:8]}" for number in range(WRITERS)]
        self.sources: Counter[pb.Source.ValueType] = Counter()
        self.reads = 0
        self.stale: list[str] = []
        # Of each item, what its newest command was answered with.
        self.newest: dict[str, tuple[str, int]] = {}
        self._client = client
        self._rng = rng

    async def write(self, sku: str, until: float) -> None:
        """Add one unit after the other, and read each time what was written."""
        while time.monotonic() < until:
            answer = await self._client.add_stock(
                AddStockRequest(sku=sku, location_id=self.place, quantity=1, reason=MOVEMENT_REASON_RECEIPT)
            )
            self.newest[sku] = (answer.consistency_token, answer.level.version)
            await self.read(sku)
            await asyncio.sleep(self._rng.uniform(0, 0.05))

    async def follow(self, until: float) -> None:
        """Read what others have written."""
        while time.monotonic() < until:
            if self.newest:
                await self.read(self._rng.choice(list(self.newest)))
            await asyncio.sleep(self._rng.uniform(0, 0.05))

    async def read(self, sku: str) -> None:
        """Read an item as of its newest command, one way or another."""
        token, version = self.newest[sku]
        consistency = pb.Consistency(at_least_as_fresh=token)
        levels, freshness = await self._rng.choice([self._level, self._batch, self._all])(sku, consistency)
        found = [level.version for level in levels]
        self.reads += 1
        self.sources[freshness.source] += 1
        if not found or found[0] < version:
            self.stale.append(f"{sku}: {found} where {version} was written, {freshness}")

    async def _level(self, sku: str, consistency: pb.Consistency) -> tuple[list[StockLevel], pb.Freshness]:
        request = query.GetStockLevelRequest(sku=sku, location_id=self.place, consistency=consistency)
        answer = await self._client.get_stock_level(request)
        return [answer.level], answer.freshness

    async def _batch(self, sku: str, consistency: pb.Consistency) -> tuple[list[StockLevel], pb.Freshness]:
        names = [LevelName(sku=sku, location_id=self.place)]
        answer = await self._client.batch_get_stock_levels(
            query.BatchGetStockLevelsRequest(names=names, consistency=consistency)
        )
        return list(answer.levels), answer.freshness

    async def _all(self, sku: str, consistency: pb.Consistency) -> tuple[list[StockLevel], pb.Freshness]:
        answer = await self._client.get_availability(
            query.GetAvailabilityRequest(sku=sku, consistency=consistency)
        )
        return list(answer.levels), answer.freshness


async def slow_down(stack: RunningStack, rng: random.Random, until: float) -> None:
    """Let the projector sleep now and then, for less and for more than readers wait."""
    pid = stack.pid(stack.active_projector())
    while time.monotonic() < until:
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(rng.choice([0.05, 0.3, 2.5]))
        finally:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(rng.uniform(0.1, 1))


async def test_a_minute_under_a_slow_projector_shows_no_stale_read(stack: RunningStack) -> None:
    rng = random.Random(5)
    async with stack.client("market", timeout=10, read_your_writes=False) as client:
        market = Market(client, rng)
        await client.create_location(
            CreateLocationRequest(location_id=market.place, name="Market", kind=LOCATION_KIND_WAREHOUSE)
        )
        for sku in market.skus:
            await client.create_item(CreateItemRequest(sku=sku, name="Mug"))
        until = time.monotonic() + SECONDS
        await asyncio.gather(
            slow_down(stack, rng, until),
            *(market.write(sku, until) for sku in market.skus),
            *(market.follow(until) for _ in range(READERS)),
        )
    assert market.stale == []
    assert market.reads > 500
    assert set(market.sources) == {pb.SOURCE_VIEW, pb.SOURCE_VIEW_AFTER_WAIT, pb.SOURCE_DATABASE}
