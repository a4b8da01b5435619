"""A watch on a cluster, one of whose servers is killed: its replica takes over, and the watch goes on."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory.query.v1.stock_query_service_pb2 import StockChange
from inventory.type.v1.stock_pb2 import StockMovement
from query_svc.read_model import (
    Changes,
    ReadModelRewoundError,
    ReadModelUnavailableError,
    ReadModelWriter,
    Told,
    connect,
    connect_feed,
    connect_writer,
)
from query_svc.watch.watches import Watches
from serving import tasks
from tests.redis_cluster import RedisCluster, redis_cluster
from tests.redis_server import binaries
from tests.stock import item, level
from tests.watcher import Name, Watcher

PATIENCE = 30.0
SKUS = [f"SKU-{number}" for number in range(40)]
RECORDS = 300


@pytest.fixture(params=binaries())
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisCluster]:
    """Give a cluster whose first server has a replica."""
    with redis_cluster(binaries()[request.param], tmp_path, replicas=1) as running:
        yield running


def history() -> list[StockChange]:
    """Return changes of some levels, each with the next version of one."""
    rng, versions = random.Random(5), defaultdict[str, int](int)
    changes = []
    for sku in rng.choices(SKUS, k=RECORDS):
        versions[sku] += 1
        movement = StockMovement(sku=sku, location_id="WH-1", version=versions[sku])
        changes.append(StockChange(movement=movement, level=level(sku, "WH-1", versions[sku])))
    return changes


async def project(writer: ReadModelWriter, changes: list[StockChange], until: int) -> None:
    """Apply a record for each change, after that of the items; after a trouble, from what is held."""
    begun = None
    async with asyncio.timeout(PATIENCE):
        while begun is None or begun < until:
            try:
                if begun is None:
                    begun = await writer.resume("journal") or 0
                if begun == 0:
                    await writer.apply(Changes(items=[item(sku, 1) for sku in SKUS], begun=0), 1)
                else:
                    told = Told(begun, changes[begun - 1])
                    await writer.apply(Changes([told.change.level], told=[told], begun=begun), begun + 1)
                begun += 1
                if begun % 20 == 0 or begun == until:
                    await writer.settle()
            except (ReadModelUnavailableError, ReadModelRewoundError):
                begun = None
                await asyncio.sleep(0.05)


async def test_no_version_is_left_out_or_told_twice_while_a_replica_takes_over(cluster: RedisCluster) -> None:
    lost: list[Name] = []

    async def missing(name: Name, _after: int, _until: int) -> list[StockMovement]:
        lost.append(name)
        return []

    changes = history()
    async with (
        connect_writer(cluster.url, timeout=1) as writer,
        connect_feed(cluster.url, timeout=1) as feed,
        connect(cluster.url, timeout=1) as view,
        Watches(feed, view, missing, most_watches=1, heartbeat_seconds=0.1) as watches,
    ):
        await project(writer, changes, RECORDS // 3)
        watcher = Watcher(watches)
        watching = asyncio.create_task(watcher.run(), name="watcher")
        async with asyncio.timeout(PATIENCE):
            await watcher.begun.wait()
        await project(writer, changes, RECORDS // 2)
        cluster.primaries[0].kill()
        await project(writer, changes, RECORDS + 1)
        expected = {(one.movement.sku, "WH-1"): one.movement.version for one in changes}
        async with asyncio.timeout(PATIENCE):
            while watcher.seen != expected:
                assert not watching.done(), watching.exception()
                await asyncio.sleep(0.05)
        await tasks.end(watching)
    assert watcher.expired == []
    assert lost == []
