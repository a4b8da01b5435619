"""A watch while the read model is rebuilt: it goes on meanwhile, and is told to begin anew at the switch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from inventory.query.v1.stock_query_service_pb2 import StockChange, WatchStockRequest
from inventory.type.v1.error_reason_pb2 import ERROR_REASON_CURSOR_EXPIRED
from inventory.type.v1.stock_pb2 import StockLevel, StockMovement
from query_svc.read_model import Changes, Phase, Plan, Told, connect, connect_feed
from query_svc.watch.watches import Watches
from serving import tasks
from serving.errors import CallError
from tests.integration.rebuild_world import RebuildWorld, rebuild, rebuild_world, traffic
from tests.stack_fixture import RunningStack
from tests.watcher import Name, Watcher

pytestmark = pytest.mark.stack


class ToldWorld(RebuildWorld):
    """A world whose stream tells the changes that led to its levels."""

    def record(self, offset: int, levels: Sequence[StockLevel]) -> Changes:
        """Return the record at an offset."""
        movements = [
            StockMovement(sku=one.sku, location_id=one.location_id, version=one.version) for one in levels
        ]
        told = [
            Told(offset, StockChange(movement=movement, level=level))
            for movement, level in zip(movements, levels, strict=True)
        ]
        return Changes(levels, told=told, begun=offset)


@pytest.fixture
async def world(database: RunningStack, tmp_path: Path) -> AsyncIterator[ToldWorld]:
    """Give a world whose live generation shows all rows."""
    async with rebuild_world(ToldWorld, database, tmp_path) as world:
        yield world


async def test_no_version_is_left_out_or_told_twice_across_the_switch(world: ToldWorld) -> None:
    lost: list[Name] = []
    phases: dict[Phase, int] = {}

    async def missing(name: Name, _after: int, _until: int) -> list[StockMovement]:
        lost.append(name)
        return []

    async with (
        connect_feed(world.redis.url) as feed,
        connect(world.redis.url) as view,
        Watches(feed, view, missing, most_watches=2, heartbeat_seconds=0.1) as watches,
    ):
        watcher = Watcher(watches)

        def report(plan: Plan) -> None:
            phases.setdefault(plan.phase, len(watcher.expired))

        watching = asyncio.create_task(watcher.run(), name="watcher")
        async with traffic(world):
            async with asyncio.timeout(20):
                await watcher.begun.wait()
            await rebuild(world.tools, report)
        expected = {(one.sku, one.location_id): one.version for one in (await world.expected()).levels}
        async with asyncio.timeout(30):
            while watcher.seen != expected:
                assert not watching.done(), watching.exception()
                await asyncio.sleep(0.05)
        await tasks.end(watching)
        assert phases[Phase.COMPARING] == 0
        assert len(watcher.expired) == 1
        assert lost == []
        with pytest.raises(CallError) as refused:
            await anext(watches.watch(WatchStockRequest(cursor=watcher.expired[0])))
        assert refused.value.reason == ERROR_REASON_CURSOR_EXPIRED
