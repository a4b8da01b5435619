"""History is told by a replica: of what it has; else by the primary."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import grpc
import pytest

from command_svc.domain.levels import LevelKey
from command_svc.domain.stock import AddStock
from inventory.query.v1 import consistency_pb2 as pb
from inventory.query.v1 import stock_query_service_pb2 as stock
from tests.integration.command_svc.story import Story
from tests.integration.freshness.conftest import serving
from tests.integration.freshness.world import FULLY, NO_TOKEN, World, level_of
from tests.postgres_replica import PostgresReplica, postgres_replica
from tests.redis_server import RedisServer
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


@pytest.fixture
def replica(database: RunningStack) -> Iterator[PostgresReplica]:
    """Give a replica that runs."""
    with postgres_replica(database) as running:
        yield running


async def entries(
    world: World, level: LevelKey, consistency: pb.Consistency = NO_TOKEN
) -> tuple[int, pb.Freshness]:
    """Return how many entries a level has, and how fresh that is."""
    request = stock.GetStockHistoryRequest(
        sku=level.sku, location_id=level.location_id, consistency=consistency
    )
    answer = await world.stub.GetStockHistory(request, timeout=10)
    assert answer.freshness.source == pb.SOURCE_DATABASE
    return len(answer.movements), answer.freshness


async def until(world: World, level: LevelKey, count: int) -> pb.Freshness:
    """Ask until the replica has so many entries."""
    async with asyncio.timeout(60):
        while True:
            try:
                found, freshness = await entries(world, level)
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017 - the item has not come yet
            else:
                # The primary's answer is of this moment, a replica's of a moment before.
                if found == count and freshness.age.ToTimedelta() >= timedelta(seconds=1):
                    return freshness
            await asyncio.sleep(0.05)


async def test_history_is_told_by_the_replica_as_far_as_it_is(
    story: Story, database: RunningStack, redis: RedisServer, replica: PostgresReplica
) -> None:
    url = replica.url("query")
    async with serving(database, story, redis, history_database_url=url) as world:
        level = await level_of(story)
        await world.project()
        await until(world, level, 1)

        replica.run("SELECT pg_wal_replay_pause()")
        await story.all(AddStock(level, 1, "RECEIPT"))
        count, freshness = await entries(world, level)
        assert (count, freshness.age.ToTimedelta() >= timedelta(seconds=1)) == (1, True)
        # Who asks for more is answered by the primary.
        for consistency in (world.newest(), FULLY):
            count, freshness = await entries(world, level, consistency)
            assert (count, freshness.degraded) == (2, False)
            assert freshness.age.ToTimedelta() < timedelta(seconds=1)
        replica.run("SELECT pg_wal_replay_resume()")
        await until(world, level, 2)

        replica.kill()
        await story.all(AddStock(level, 1, "RECEIPT"))
        count, freshness = await entries(world, level)
        assert (count, freshness.degraded) == (3, True)
