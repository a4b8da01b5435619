"""A rebuild beside the live generation, on a real PostgreSQL and Redis: wherever it is interrupted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.projector import fold
from cdc.rebuild import RebuildError, Tools, abandon, rebuild
from cdc.tables import BY_KIND, TABLES, connect_database
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import (
    GENERATION,
    Changes,
    GenerationsWriter,
    Phase,
    Plan,
    ReadModel,
    ReadModelRewoundError,
    connect,
    connect_generations,
    connect_generations_writer,
    connect_maintenance,
)
from query_svc.read_model.keys import bucket_of
from tests.redis_server import RedisServer, binaries, content, redis_server
from tests.stack_fixture import RunningStack
from tests.stock import transaction

pytestmark = pytest.mark.stack

SOURCE = "journal:rebuild"
# Longer than readers take to learn that the generation is another.
GRACE_SECONDS = 1.5
ITEMS = 60
PLACES = 40


class World:
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
                self._records.append(fold([transaction(len(self._records) + 1, *changed)]))
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
            kept = (f"{GENERATION}:generations", f"{plan.live}:{{applied}}")
            found = {
                bytes(key).decode()
                for key in client.scan_iter()
                if not bytes(key).decode().startswith(kept) and not key.endswith(b":offsets")
            }
            assert found == right.keys()
            for name, value in right.items():
                is_hash = client.type(name) == b"hash"
                assert value == (client.hgetall(name) if is_hash else client.zrange(name, 0, -1)), name


@pytest.fixture
async def world(database: RunningStack, tmp_path: Path) -> AsyncIterator[World]:
    """Give a world whose live generation shows all rows."""
    (tmp_path / "redis").mkdir()
    with redis_server(binaries()["valkey"], tmp_path / "redis") as redis:
        async with (
            await connect_database(database.postgres_url("query")) as connection,
            connect_generations(redis.url) as generations,
            connect_generations_writer(redis.url) as writer,
        ):
            tools = Tools(
                connection, generations, partial(connect_maintenance, redis.url), grace_seconds=GRACE_SECONDS
            )
            world = World(database, redis, tools, writer)
            await world.show()
            yield world


@asynccontextmanager
async def traffic(world: World) -> AsyncIterator[None]:
    """Change levels meanwhile."""
    following = asyncio.create_task(world.follow())
    try:
        yield
    finally:
        world.stop()
        await following


class EndedHereError(Exception):
    """The test ends a rebuild here."""


@pytest.mark.parametrize("seed", range(3))
async def test_interrupted_anywhere_it_ends_equal_to_the_rows(
    world: World, tmp_path: Path, seed: int
) -> None:
    """Under traffic, ended at random steps again and again, while the live one never lacks a level."""
    rng = random.Random(seed)
    phases = set()

    def report(plan: Plan) -> None:
        phases.add(plan.phase)
        if plan.phase is not Phase.IDLE and rng.random() < 0.2:
            raise EndedHereError

    interruptions = 0
    async with traffic(world), connect(world.redis.url) as view:
        reading = asyncio.create_task(_read(view))
        async with asyncio.timeout(60):
            while True:
                try:
                    plan = await rebuild(world.tools, report)
                    break
                except EndedHereError:
                    interruptions += 1
        reading.cancel()
        assert (await asyncio.gather(reading, return_exceptions=True))[0].__class__ is asyncio.CancelledError
    assert plan == Plan(f"{GENERATION}r1", number=1)
    assert interruptions > 3
    assert phases >= set(Phase) - {Phase.IDLE}
    await world.proves_equal(tmp_path)


async def _read(view: ReadModel) -> None:
    """Read levels, each of which must be there, and none older than it was."""
    rng, seen = random.Random(0), dict[tuple[str, str], int]()
    while True:
        names = [(f"S-{rng.randint(1, ITEMS)}", f"W-{rng.randint(1, PLACES)}") for _ in range(50)]
        for name, level in zip(names, await view.levels(names), strict=True):
            assert isinstance(level, StockLevel), name
            assert level.version >= seen.get(name, 0)
            seen[name] = level.version
        await asyncio.sleep(0.002)


async def test_one_after_the_other(world: World, tmp_path: Path) -> None:
    async with traffic(world):
        for number in (1, 2):
            plan = await rebuild(world.tools, lambda _: None)
            assert plan == Plan(f"{GENERATION}r{number}", number=number)
    await world.proves_equal(tmp_path)


async def test_what_was_closed_long_ago_is_not_filled_in(world: World) -> None:
    """Nor is it missed by the comparison before the switch."""
    connection = await psycopg.AsyncConnection.connect(world.owner_url, autocommit=True)
    async with connection:
        await connection.execute(
            "UPDATE reservations SET update_time = now() - interval '31 days' WHERE state = 'CANCELLED'"
        )
        try:
            async with traffic(world):
                await rebuild(world.tools, lambda _: None)
            with world.redis.client() as client:
                rows = sum(client.hlen(key) for key in client.scan_iter("*:reservations"))
            assert rows == 50
        finally:
            await connection.execute("UPDATE reservations SET update_time = now()")


async def test_of_two_at_once_one_stops(world: World, tmp_path: Path) -> None:
    async with traffic(world), connect_generations(world.redis.url) as generations:
        others = Tools(
            world.tools.connection, generations, world.tools.maintenance, grace_seconds=GRACE_SECONDS
        )
        outcomes = await asyncio.gather(
            rebuild(world.tools, lambda _: None), rebuild(others, lambda _: None), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Plan", "RebuildError"]
    await world.proves_equal(tmp_path)


async def test_what_does_not_come_to_be_equal_is_not_switched_to(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something spoilt in the new generation keeps the live one live, until it is put right, or given up."""
    monkeypatch.setattr("cdc.rebuild.CATCH_UP_SECONDS", 0.3)

    def spoil(plan: Plan) -> None:
        if plan.phase is Phase.COMPARING and plan.kind == "items":
            with world.redis.client() as client:
                client.hset(f"{plan.other}:{{b{bucket_of('S-7')}}}:levels:S-7", "W-7", b"9999 wrong")

    async with traffic(world):
        with pytest.raises(RebuildError, match="1 of the levels are not as their rows say: S-7 at W-7"):
            await rebuild(world.tools, spoil)
        plan = await world.tools.generations.read()
        assert (plan.live, plan.phase) == (GENERATION, Phase.COMPARING)
        await abandon(world.tools)
        with pytest.raises(RebuildError, match="nothing to give up"):
            await abandon(world.tools)
        assert await rebuild(world.tools, lambda _: None) == Plan(GENERATION, number=1)
    await world.proves_equal(tmp_path)
