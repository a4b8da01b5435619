"""The read model on a real cluster: three nodes on loopback, one of them with a replica."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from query_svc.read_model import (
    Changes,
    ReadModel,
    ReadModelError,
    ReadModelUnavailableError,
    ReadModelWriter,
    Span,
    connect,
    connect_writer,
    indexes,
)
from query_svc.read_model.keys import GENERATION, Keys
from query_svc.read_model.slots import SLOTS, key_slot
from tests.redis_server import RedisServer, binaries, free_port, redis_server
from tests.stock import item, level, location, order

SOURCE = "inventory.journal:id-0"
PATIENCE = 20.0
SKUS = [f"S{number:03}" for number in range(300)]


class Cluster:
    """Three masters, and a replica of the first."""

    def __init__(self, nodes: list[RedisServer], bus_ports: list[int]) -> None:
        self.nodes = nodes
        self._bus_ports = bus_ports

    @property
    def url(self) -> str:
        """The address of one of the nodes, not of the one with the replica."""
        return self.nodes[1].url

    def ask(self, node: int, *command: object) -> Any:  # noqa: ANN401 - what Redis says
        """Return a node's answer to a command, as it is."""
        with self.nodes[node].client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def role(self, node: int) -> str:
        """Return what a node says it is: "myself,master" or "myself,slave"."""
        return next(line for line in self._lines(node) if "myself" in line).split()[2]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "it has not come true"
            time.sleep(0.02)

    def form(self) -> None:
        """Make the nodes a cluster."""
        for number in range(len(self.nodes)):
            self.ask(number, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                self.ask(number, "CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self._bus_ports[0])
            if number < 3:
                first, last = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
                self.ask(number, "CLUSTER", "ADDSLOTSRANGE", first, last)
        everyone = range(len(self.nodes))
        self.until(lambda: all(len(self._lines(number)) == len(self.nodes) for number in everyone))
        self.until(lambda: all(self._state(number) == "cluster_state:ok" for number in everyone))
        self.ask(3, "CLUSTER", "REPLICATE", self.id(0))
        self.until(lambda: "slave" in self.role(3))
        self.until(lambda: b"master_link_status:up" in bytes(self.ask(3, "INFO", "replication")))

    def id(self, node: int) -> str:
        """Return a node's id."""
        return bytes(self.ask(node, "CLUSTER", "MYID")).decode()

    def move(self, slot: int, source: int, target: int, *, finish: bool = True) -> None:
        """Move a slot with its keys, or leave it half moved: all keys gone, the slot still the source's."""
        self.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(source))
        self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(target))
        keys = self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 10_000)
        port = self.nodes[target].port
        if keys:
            self.ask(source, "MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *keys)
        if finish:
            for node in (target, source):
                self.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", self.id(target))

    def _lines(self, node: int) -> list[str]:
        return bytes(self.ask(node, "CLUSTER", "NODES")).decode().splitlines()

    def _state(self, node: int) -> str:
        return bytes(self.ask(node, "CLUSTER", "INFO")).partition(b"\r\n")[0].decode()


@pytest.fixture(scope="module", params=list(binaries()))
def formed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a cluster."""
    with ExitStack() as closing:
        nodes, bus_ports = [], [free_port() for _ in range(4)]
        for port in bus_ports:
            options = {"cluster-enabled": "yes", "cluster-port": str(port), "cluster-node-timeout": "1000"}
            folder = tmp_path_factory.mktemp("node")
            nodes.append(closing.enter_context(redis_server(binaries()[request.param], folder, options)))
        cluster = Cluster(nodes, bus_ports)
        cluster.form()
        yield cluster


@pytest.fixture
def cluster(formed: Cluster) -> Cluster:
    """Give the cluster, empty."""
    for node in range(3):
        formed.ask(node, "FLUSHALL")
        formed.ask(node, "FUNCTION", "FLUSH")
    return formed


@pytest.fixture
async def writer(cluster: Cluster) -> AsyncIterator[ReadModelWriter]:
    """Give a writer to the cluster."""
    async with connect_writer(cluster.url) as writer:
        yield writer


@pytest.fixture
async def view(cluster: Cluster) -> AsyncIterator[ReadModel]:
    """Give the read model in the cluster."""
    async with connect(cluster.url) as view:
        yield view


def everything(version: int) -> Changes:
    """Return levels in every bucket, and more."""
    return Changes(
        [level(sku, "W", version) for sku in SKUS],
        [item(sku, version) for sku in SKUS],
        [location("W", version)],
        orders=[order(number, version) for number in range(100)],
    )


async def test_what_is_written_is_read_wherever_it_lies(
    cluster: Cluster, writer: ReadModelWriter, view: ReadModel
) -> None:
    assert await writer.resume(SOURCE) is None
    assert await writer.apply(everything(1), 1) == (701, 0)
    await writer.settle()
    assert await writer.resume(SOURCE) == 1
    assert await view.levels([(sku, "W") for sku in SKUS]) == [level(sku, "W", 1) for sku in SKUS]
    assert await view.locations() == [location("W", 1)]
    orders = await view.tails(Span(indexes.ORDERS_BY_ID), after=None, count=200)
    assert await view.orders(orders) == [order(number, 1) for number in range(100)]
    assert {name async for page in view.level_names() for name in page} == {(sku, "W") for sku in SKUS}
    assert {sku async for page in view.skus() for sku in page} == set(SKUS)
    assert all(cluster.ask(node, "DBSIZE") > 100 for node in (0, 1, 2))


async def test_a_slot_that_moves_is_followed(
    cluster: Cluster, writer: ReadModelWriter, view: ReadModel
) -> None:
    """First half way, where the old node sends on who reads and puts off who writes, then for good."""
    await writer.resume(SOURCE)
    await writer.apply(everything(1), 1)
    slot = key_slot(Keys(GENERATION).levels(SKUS[0]))
    source = slot * 3 // SLOTS
    target = (source + 1) % 3
    cluster.move(slot, source, target, finish=False)
    try:
        assert await view.levels([(sku, "W") for sku in SKUS]) == [level(sku, "W", 1) for sku in SKUS]
        with pytest.raises(ReadModelUnavailableError):
            await writer.apply(everything(2), 2)
    finally:
        for node in (target, source):
            cluster.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", cluster.id(target))
    await writer.resume(SOURCE)
    assert await writer.apply(everything(3), 3) == (701, 0)
    assert await view.levels([(sku, "W") for sku in SKUS]) == [level(sku, "W", 3) for sku in SKUS]
    cluster.move(slot, target, source)
    assert await view.levels([(sku, "W") for sku in SKUS]) == [level(sku, "W", 3) for sku in SKUS]


async def test_a_replica_takes_over(cluster: Cluster, writer: ReadModelWriter, view: ReadModel) -> None:
    """A node that is killed is missed for as long as the cluster needs, and by nobody else."""
    await writer.resume(SOURCE)
    await writer.apply(everything(1), 1)
    await writer.settle()
    cluster.ask(0, "WAIT", 1, 5000)
    elsewhere = next(sku for sku in SKUS if key_slot(Keys(GENERATION).levels(sku)) >= SLOTS // 3)
    here = next(sku for sku in SKUS if key_slot(Keys(GENERATION).levels(sku)) < SLOTS // 3)
    cluster.nodes[0].kill()
    with pytest.raises(ReadModelUnavailableError):
        await view.level(here, "W")
    assert await asyncio.wait_for(_soon(lambda: view.level(elsewhere, "W")), PATIENCE) is not None
    assert await asyncio.wait_for(_soon(lambda: view.level(here, "W")), PATIENCE) == level(here, "W", 1)
    assert "master" in cluster.role(3)

    async def written() -> int | None:
        offset = await writer.resume(SOURCE)
        await writer.apply(everything(2), 2)
        return offset

    assert await asyncio.wait_for(_soon(written), PATIENCE) == 1
    assert await view.levels([(sku, "W") for sku in SKUS]) == [level(sku, "W", 2) for sku in SKUS]


async def _soon(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it returns
    """Return what a call returns once the read model answers."""
    while True:
        try:
            return await call()
        except ReadModelError:
            await asyncio.sleep(0.05)
