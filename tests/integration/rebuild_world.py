"""Rows, a Redis of a test's own, and a stream in between that the test carries on by hand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from cdc.projector import fold
from cdc.rebuild import Tools, begin, go_on
from cdc.tables import BY_KIND, TABLES, connect_database
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import (
    GENERATION,
    Changes,
    GenerationsWriter,
    Plan,
    ReadModelRewoundError,
    connect_generations,
    connect_generations_writer,
    connect_maintenance,
)
from tests.redis_server import RedisServer, binaries, content, redis_server
from tests.stack_fixture import RunningStack
from tests.stock import transaction

SOURCE = "journal:rebuild"

# Longer than readers take to learn that the generation is another.
GRACE_SECONDS = 1.5
ITEMS = 60
PLACES = 40


class RebuildWorld:
    """Rows, a Redis, and a stream in between that a test carries on by hand."""

    def __init__(
        self, stack: RunningStack, redis: RedisServer, tools: Tools, writer: GenerationsWriter
    ) -> None:
        self.redis = redis
        self.tools = tools
        self.writer = writer
        self._records: list[Changes] = []
        self._next = 0
        self.owner_url = stack.postgres_url("owner")
        self._stopped = asyncio.Event()

    async def follow(self) -> None:
        """Change levels all the time, and apply that as the projector does, until `stop`."""
        rng = random.Random(1)
        connection = await psycopg.AsyncConnection.connect(self.owner_url, autocommit=True)
        async with connection:
            while not self._stopped.is_set():
                name = (f"S-{rng.randint(1, ITEMS)}", f"W-{rng.randint(1, PLACES)}")
                await connection.execute(
                    "UPDATE stock_levels"
                    " SET on_hand = on_hand + 1, version = version + 1, update_time = now()"
                    " WHERE sku = %s AND location_id = %s",
                    name,
                )
                table = BY_KIND["levels"]
                changed = [table.message(row) for row in await table.named(self.tools.connection, [name])]
                self._records.append(self.record(len(self._records), changed))
                await asyncio.sleep(rng.choice([0, 0.002]))
                await self.apply()
        await self.apply()

    async def apply(self) -> None:
        """Apply what there is; from time to time look at the plan, and start over where that is needed."""
        while self._next < len(self._records):
            try:
                await self.writer.apply(self._records[self._next], self._next + 1)
                self._next += 1
                if self._next % 20 == 0:
                    await self.writer.settle()
                    await self.writer.verify()
            except ReadModelRewoundError:
                self._next = await self.writer.resume(SOURCE) or 0
        await self.writer.settle()

    async def show(self) -> None:
        """Show the rows as they are, in the live generation."""
        self._records.append(await self.expected())
        await self.writer.resume(SOURCE)
        await self.apply()

    def record(self, offset: int, levels: Sequence[StockLevel]) -> Changes:
        """Return the record at an offset: levels alone, without the changes that led to them."""
        return fold([transaction(offset + 1, *levels)])

    def stop(self) -> None:
        """End `follow`."""
        self._stopped.set()

    async def expected(self) -> Changes:
        """Return everything that the rows say."""
        everything: dict[str, Any] = {}
        for table in TABLES:
            rows = await table.page(self.tools.connection, None, 10_000)
            everything[table.kind] = [table.message(row) for row in rows]
        return Changes(**everything)

    async def proves_equal(self, tmp_path: Path) -> None:
        """Assert that Redis holds one generation, which is what the rows make, and nothing of any other."""
        plan = await self.tools.generations.read()
        expected = await self.expected()
        with redis_server(binaries()["valkey"], tmp_path) as pristine, pristine.client() as other:
            async with connect_maintenance(pristine.url, plan.live) as maintenance:
                await maintenance.put(expected)
            right = content(other)
        with self.redis.client() as client:
            kept = (f"{GENERATION}:generations", f"{GENERATION}:rebuild", f"{plan.live}:{{applied}}")
            found = {
                bytes(key).decode()
                for key in client.scan_iter()
                if not bytes(key).decode().startswith(kept) and not key.endswith(b":offsets")
            }
            assert found == right.keys()
            for name, value in right.items():
                is_hash = client.type(name) == b"hash"
                assert value == (client.hgetall(name) if is_hash else client.zrange(name, 0, -1)), name


W = TypeVar("W", bound=RebuildWorld)


@asynccontextmanager
async def rebuild_world(kind: type[W], stack: RunningStack, folder: Path) -> AsyncIterator[W]:
    """Give a world of a kind, whose live generation shows all rows."""
    (folder / "redis").mkdir()
    with redis_server(binaries()["valkey"], folder / "redis") as redis:
        async with (
            connect_database(stack.postgres_url("query")) as connection,
            connect_generations(redis.url) as generations,
            connect_generations_writer(redis.url) as writer,
        ):
            tools = Tools(
                connection, generations, partial(connect_maintenance, redis.url), grace_seconds=GRACE_SECONDS
            )
            world = kind(stack, redis, tools, writer)
            await world.show()
            yield world


async def rebuild(tools: Tools, report: Callable[[Plan], None]) -> Plan:
    """Begin a rebuild, or take over what was left, and go on to its end."""
    await begin(tools.generations)
    return await go_on(tools, report)


@asynccontextmanager
async def traffic(world: RebuildWorld) -> AsyncIterator[None]:
    """Change levels meanwhile."""
    following = asyncio.create_task(world.follow())
    try:
        yield
    finally:
        world.stop()
        await following
