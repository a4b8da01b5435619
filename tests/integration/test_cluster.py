"""The projector and the queries on a cluster of three, one of whose nodes is killed and replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from query_svc.read_model import ReadModel, ReadModelUnavailableError, connect
from tests.integration.projector_world import SKUS, World, end, history, newest, projector_world, until
from tests.redis_cluster import RedisCluster, redis_cluster
from tests.redis_server import binaries
from tests.stack_fixture import running_stack

pytestmark = [pytest.mark.stack, pytest.mark.slow]

RECORDS = 400


@pytest.fixture(params=binaries())
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisCluster]:
    """Give a cluster whose first node has a replica."""
    with redis_cluster(binaries()[request.param], tmp_path, replicas=1) as running:
        yield running


@pytest.fixture
def world(cluster: RedisCluster, tmp_path: Path) -> Iterator[World]:
    """Give a journal, and projectors that fill the cluster from it."""
    with (
        running_stack("cluster", only=("broker",)) as stack,
        projector_world(stack, tmp_path, cluster) as world,
    ):
        yield world


async def test_a_node_is_killed_and_its_replica_takes_over(world: World, cluster: RedisCluster) -> None:
    """Under changes and queries: neither process is restarted, and the view is the journal's in the end."""
    records = history(RECORDS)
    world.write(records[: RECORDS // 4])
    projector, healthy = world.start()
    until(lambda: healthy() is None)
    until(world.shows(newest(records[: RECORDS // 4])[SKUS[0]]))
    async with connect(cluster.url) as view:
        names = [(sku, "WH-1") for sku in SKUS]
        assert await view.levels(names) == [newest(records[: RECORDS // 4])[sku] for sku in SKUS]
        world.write(records[RECORDS // 4 : RECORDS // 2])
        cluster.primaries[0].kill()
        world.write(records[RECORDS // 2 :])
        with pytest.raises(ReadModelUnavailableError):
            await view.levels(names)
        last, mark = end(1)
        world.write([last])
        expected = newest(records)
        deadline = time.monotonic() + 30
        while await _shown(view, names) != [expected[sku] for sku in SKUS]:
            assert time.monotonic() < deadline, "the view has not come to what the journal says"
            await asyncio.sleep(0.05)
        until(world.shows(mark))
    until(lambda: healthy() is None)
    assert projector.poll() is None


async def _shown(view: ReadModel, names: list[tuple[str, str]]) -> list[object] | None:
    try:
        return list(await view.levels(names))
    except ReadModelUnavailableError:
        return None
