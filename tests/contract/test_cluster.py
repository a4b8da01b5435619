"""What the read model does while a cluster changes: slots move, servers hang, servers end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.crc import key_slot

from query_svc.read_model import (
    Changes,
    ReadModel,
    ReadModelError,
    ReadModelUnavailableError,
    ReadModelWriter,
    connect,
    connect_writer,
)
from query_svc.read_model.keys import GENERATION, Keys
from tests.ports import free_port
from tests.redis_cluster import RedisCluster, redis_cluster, until
from tests.redis_server import RedisServer, binaries, redis_server
from tests.stock import level

SOURCE = "inventory.journal:id-0"
KEYS = Keys(GENERATION)
PLACE = "WH-1"
PATIENCE = 20.0


@pytest.fixture(params=binaries())
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisCluster]:
    """Give a cluster whose first server has a replica."""
    with redis_cluster(binaries()[request.param], tmp_path, replicas=1) as running:
        yield running


@pytest.fixture
async def writer(cluster: RedisCluster) -> AsyncIterator[ReadModelWriter]:
    """Give a writer to the empty cluster."""
    async with connect_writer(cluster.url, timeout=1) as writer:
        await writer.resume(SOURCE)
        yield writer


@pytest.fixture
async def view(cluster: RedisCluster) -> AsyncIterator[ReadModel]:
    """Give the read model of the cluster."""
    async with connect(cluster.url, timeout=1) as view:
        yield view


async def test_a_slot_that_moves_is_followed(
    cluster: RedisCluster, writer: ReadModelWriter, view: ReadModel
) -> None:
    """Before, in the middle, when some of its keys have moved and some not, and after."""
    sku = _sku_of(cluster, 0)
    source, target = cluster.primaries[:2]
    slot = key_slot(KEYS.levels(sku).encode())
    await writer.apply(Changes([level(sku, PLACE, 1)]), 1)
    assert await view.level(sku, PLACE) == level(sku, PLACE, 1)
    with source.client() as client:
        client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", _name(target))
        with target.client() as other:
            other.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", _name(source))
        client.execute_command("MIGRATE", "127.0.0.1", target.port, KEYS.levels(sku), 0, 5000)
    assert await view.level(sku, PLACE) == level(sku, PLACE, 1)
    assert await view.level(sku, "WH-2") is None
    with pytest.raises(ReadModelUnavailableError):
        await writer.apply(Changes([level(sku, PLACE, 2)]), 2)
    with source.client() as client:
        for key in client.execute_command("CLUSTER GETKEYSINSLOT", slot, 1000):
            client.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
    for node in (target, source, cluster.primaries[2]):
        with node.client() as client:
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", _name(target))
    assert await view.level(sku, PLACE) == level(sku, PLACE, 1)
    await writer.resume(SOURCE)
    await writer.apply(Changes([level(sku, PLACE, 2)]), 2)
    assert await view.level(sku, PLACE) == level(sku, PLACE, 2)


async def test_a_replica_takes_over(cluster: RedisCluster, writer: ReadModelWriter, view: ReadModel) -> None:
    """All is there again by itself, for the writer after it has resumed; nothing of the others is lost."""
    skus = [_sku_of(cluster, number) for number in range(3)]
    await writer.apply(Changes([level(sku, PLACE, 1) for sku in skus]), 1)
    await writer.settle()
    await view.levels([(sku, PLACE) for sku in skus])
    with cluster.primaries[0].client() as client:
        assert client.wait(1, 5000) == 1
    cluster.primaries[0].kill()
    with pytest.raises(ReadModelUnavailableError):
        await view.level(skus[0], PLACE)
    changes = Changes([level(sku, PLACE, 2) for sku in skus])

    async def follow() -> bool:
        position = await writer.resume(SOURCE)
        assert position == 1
        await writer.apply(changes, 2)
        return True

    await _until(follow)
    assert await view.levels([(sku, PLACE) for sku in skus]) == [level(sku, PLACE, 2) for sku in skus]
    walked = (await view.maintenance()).names("levels")
    names = [name async for page in walked for name in page]
    assert sorted(names) == sorted((sku, PLACE) for sku in skus)
    await view.ping()
    cluster.primaries[0].start()
    await _until(lambda: _replicated(cluster.primaries[0]))
    assert await view.level(skus[0], PLACE) == level(skus[0], PLACE, 2)


async def test_a_server_that_hangs_fails_its_own_readers_alone(
    cluster: RedisCluster, writer: ReadModelWriter
) -> None:
    skus = [_sku_of(cluster, number) for number in range(3)]
    await writer.apply(Changes([level(sku, PLACE, 1) for sku in skus]), 1)
    async with connect(cluster.url, timeout=0.3) as view:
        assert await view.level(skus[2], PLACE)
        with cluster.primaries[2].client() as client:
            client.execute_command("CLIENT PAUSE", 700, "ALL")
            began = time.monotonic()
            outcomes = await asyncio.gather(
                *(view.level(sku, PLACE) for sku in skus * 10), return_exceptions=True
            )
            assert time.monotonic() - began < 0.6
            assert outcomes[:2] == [level(sku, PLACE, 1) for sku in skus[:2]]
            assert {type(outcome) for outcome in outcomes[2::3]} == {ReadModelUnavailableError}
            client.ping()
        assert await view.level(skus[2], PLACE) == level(skus[2], PLACE, 1)


async def test_a_cluster_that_is_taken_for_a_server_says_so(cluster: RedisCluster) -> None:
    async with connect(cluster.primaries[0].url) as view:
        with pytest.raises(ReadModelError, match=r"redis\+cluster://"):
            await view.levels([(_sku_of(cluster, number), PLACE) for number in range(3)])


async def test_a_server_that_is_taken_for_a_cluster_says_so(tmp_path: Path) -> None:
    with redis_server(binaries()["valkey"], tmp_path) as server:
        async with connect(f"redis+cluster://127.0.0.1:{server.port}") as view:
            with pytest.raises(ReadModelError, match="no cluster"):
                await view.ping()


async def test_any_node_that_is_named_will_do(cluster: RedisCluster, writer: ReadModelWriter) -> None:
    sku = _sku_of(cluster, 1)
    await writer.apply(Changes([level(sku, PLACE, 1)]), 1)
    nobody = f"127.0.0.1:{free_port()}"
    async with connect(f"redis+cluster://{nobody},127.0.0.1:{cluster.primaries[2].port}") as view:
        assert await view.level(sku, PLACE) == level(sku, PLACE, 1)


async def test_the_functions_are_on_every_server(cluster: RedisCluster, writer: ReadModelWriter) -> None:
    await writer.apply(Changes([level(f"S{number}", PLACE, 1) for number in range(500)]), 1)
    await writer.settle()
    for node in cluster.primaries:
        with node.client() as client:
            assert len(client.function_list()) == 2
            assert client.dbsize() > 0


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:6379",
        "http://127.0.0.1:6379",
        "redis://",
        "redis+cluster://",
        "redis+cluster://a:1,b:no",
        "redis+cluster://a:1/2",
        "redis://a:1,b:2",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """Without a word of what it says: there may be a password in it."""
    with pytest.raises(ValueError, match=r"^(must be redis://HOST|a cluster has one database)"):
        connect(url)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds; what the read model raises meanwhile passes."""
    deadline = time.monotonic() + PATIENCE
    done = False
    while not done:
        assert time.monotonic() < deadline, "it has not come true"
        with suppress(ReadModelError):
            done = await condition()
        await asyncio.sleep(0.05)


def _sku_of(cluster: RedisCluster, number: int) -> str:
    """Return a SKU whose levels lie on a server of the cluster."""
    with cluster.primaries[number].client() as client:
        slots = [
            range(first, last + 1)
            for first, last, (_, port, *_), *_ in client.execute_command("CLUSTER SLOTS")
            if port == cluster.primaries[number].port
        ]
    names = (f"SKU-{number}" for number in range(1000))
    return next(name for name in names if any(key_slot(KEYS.levels(name).encode()) in one for one in slots))


def _name(node: RedisServer) -> str:
    with node.client() as client:
        return str(client.execute_command("CLUSTER MYID").decode())


async def _replicated(node: RedisServer) -> bool:
    with node.client() as client:
        return bool(client.info("replication")["role"] == "slave")


def test_what_a_client_of_the_tests_has_opened_it_closes(cluster: RedisCluster) -> None:
    with cluster.client() as client:
        client.flushall()
    for node in cluster.primaries:
        with node.client() as other:
            until(lambda: len(other.client_list(_type="normal")) == 1)
