"""In whatever order changes, reads, cuts and restarts come: a watch tells every version in turn."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest

from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.type.v1.error_reason_pb2 import ERROR_REASON_DEPENDENCY_UNAVAILABLE
from inventory.type.v1.stock_pb2 import StockMovement
from query_svc.read_model import Changes, ReadModelWriter, Told, connect, connect_feed, connect_writer
from query_svc.watch.watches import Watches
from serving.errors import CallError
from tests.redis_server import RedisServer
from tests.stock import item
from tests.unit.query_svc.test_watch import Name, change

NAMES = [(sku, place) for sku in ("A", "B", "C", "D") for place in ("N", "S")]
INTERESTS = [
    pb.WatchStockRequest(),
    pb.WatchStockRequest(skus=["A", "C"]),
    pb.WatchStockRequest(location_ids=["S"]),
    pb.WatchStockRequest(skus=["B"], location_ids=["N"]),
]


class World:
    """A journal, a projector that may lose its place, and servers of watches that come and go."""

    def __init__(self, redis: RedisServer, rng: random.Random) -> None:
        self.redis = redis
        self.rng = rng
        self.journal: list[list[tuple[Name, int]]] = []
        self.versions: dict[Name, int] = defaultdict(int)
        self.filled = 0
        self.applied = 0
        self._stack = AsyncExitStack()
        self.writer: ReadModelWriter
        self.watches: Watches

    async def start(self) -> None:
        """Start with a view of the items alone."""
        self.writer = connect_writer(self.redis.url)
        await self.writer.resume("journal")
        await self.writer.apply(Changes(items=[item(sku, 1) for sku in "ABCD"], begun=0), 1)
        self.journal.append([])
        await self.writer.settle()
        await self.serve()

    async def serve(self) -> None:
        """Serve watches by another process than before."""
        await self._stack.aclose()
        feed = await self._stack.enter_async_context(connect_feed(self.redis.url))
        view = await self._stack.enter_async_context(connect(self.redis.url))
        self.watches = await self._stack.enter_async_context(
            Watches(feed, view, self.entries, most_watches=10, heartbeat_seconds=0.01)
        )

    async def entries(self, name: Name, after: int, until: int) -> list[StockMovement]:
        """Return what the ledger has."""
        self.filled += until - after
        return [change(name, version).movement for version in range(after + 1, until + 1)]

    def commit(self) -> None:
        """Commit some transactions; now and then the journal never tells of one."""
        for _ in range(self.rng.randint(1, 6)):
            record = []
            for name in self.rng.choices(NAMES, k=self.rng.randint(1, 3)):
                self.versions[name] += 1
                record.append((name, self.versions[name]))
            self.journal.append([] if self.rng.random() < 0.05 else record)

    async def project(self) -> None:
        """Apply some records; now and then by another projector, from the position that is stored."""
        if self.rng.random() < 0.3:
            await self.writer.close()
            self.writer = connect_writer(self.redis.url)
            self.applied = await self.writer.resume("journal") or 0
            if self.applied >= len(self.journal):
                return
        begun = self.applied or 0
        end = min(len(self.journal), begun + self.rng.randint(1, 8))
        if begun == end:
            return
        told = [Told(offset, change(*one)) for offset in range(begun, end) for one in self.journal[offset]]
        newest = {
            (one.change.movement.sku, one.change.movement.location_id): one.change.level for one in told
        }
        await self.writer.apply(Changes(newest.values(), told=told, begun=begun), end)
        if self.rng.random() < 0.5:
            await self.writer.settle()
        self.applied = end

    async def close(self) -> None:
        """End all."""
        await self._stack.aclose()
        await self.writer.close()


class Reader:
    """Someone who watches, slowly at times, and resumes when cut."""

    def __init__(self, request: pb.WatchStockRequest, *, coalesces: bool) -> None:
        self.request = pb.WatchStockRequest()
        self.request.CopyFrom(request)
        self.request.include_current = True
        self.coalesces = coalesces
        if coalesces:
            self.request.slow_reader = pb.SLOW_READER_COALESCE
        self.seen: dict[Name, int] = {}
        self.watch: AsyncGenerator[pb.WatchStockResponse, None] | None = None

    async def read(self, world: World, messages: int) -> None:
        """Read some messages, watching anew where it was cut."""
        if self.watch is None:
            if not self.request.cursor:
                self.seen = {}
            self.watch = world.watches.watch(self.request)
        for _ in range(messages):
            try:
                async with asyncio.timeout(10):
                    message = await anext(self.watch)
            except CallError as error:
                # A projector that has just begun anew goes over what was applied: to be resumed.
                await self.cut()
                if error.reason == ERROR_REASON_DEPENDENCY_UNAVAILABLE:
                    return
                raise
            for one in message.levels:
                assert (one.sku, one.location_id) not in self.seen
                self.seen[one.sku, one.location_id] = one.version
            for told in message.changes:
                self._take(told)
            if message.cursor:
                self.request.cursor, self.request.include_current = message.cursor, False

    def _take(self, told: pb.StockChange) -> None:
        name = (told.movement.sku, told.movement.location_id)
        last = self.seen.get(name, 0)
        if self.coalesces:
            assert told.movement.version > last
        else:
            assert told.movement.version == last + 1, (name, last, told.movement.version)
        self.seen[name] = told.movement.version

    async def cut(self) -> None:
        """Lose the connection."""
        if self.watch is not None:
            await self.watch.aclose()
            self.watch = None

    def wanted(self, name: Name) -> bool:
        """Tell whether it watches a level."""
        return (not self.request.skus or name[0] in self.request.skus) and (
            not self.request.location_ids or name[1] in self.request.location_ids
        )


@pytest.mark.parametrize("seed", range(8))
async def test_every_version_is_told_in_turn(redis: RedisServer, seed: int) -> None:
    with redis.client() as client:
        client.flushall()
    rng = random.Random(seed)
    world = World(redis, rng)
    await world.start()
    readers = [Reader(request, coalesces=coalesces) for request in INTERESTS for coalesces in (False, True)]
    for _ in range(60):
        world.commit()
        await world.project()
        for reader in rng.sample(readers, 2):
            await reader.read(world, rng.randint(1, 3))
        if rng.random() < 0.2:
            await rng.choice(readers).cut()
        if rng.random() < 0.05:
            for reader in readers:
                await reader.cut()
            await world.serve()
    # A change of each level, so that a lost one is noticed; then all that is left.
    world.journal.append([(name, version + 1) for name, version in world.versions.items()])
    world.versions = defaultdict(int, {name: version + 1 for name, version in world.versions.items()})
    while world.applied < len(world.journal):
        await world.project()
    for reader in readers:
        wanted = {name: version for name, version in world.versions.items() if reader.wanted(name)}
        async with asyncio.timeout(20):
            while {name: reader.seen.get(name) for name in wanted} != wanted:
                await reader.read(world, 1)
        await reader.cut()
    assert world.filled
    await world.close()
