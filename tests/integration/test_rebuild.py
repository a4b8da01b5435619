"""A rebuild beside the live generation, on a real PostgreSQL and Redis: wherever it is interrupted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from cdc.rebuild import RebuildError, Tools, abandon
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import (
    GENERATION,
    Phase,
    Plan,
    ReadModel,
    connect,
    connect_generations,
)
from query_svc.read_model.keys import bucket_of
from tests.integration.rebuild_world import (
    GRACE_SECONDS,
    ITEMS,
    PLACES,
    RebuildWorld,
    rebuild,
    rebuild_world,
    traffic,
)
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


@pytest.fixture
async def world(database: RunningStack, tmp_path: Path) -> AsyncIterator[RebuildWorld]:
    """Give a world whose live generation shows all rows."""
    async with rebuild_world(RebuildWorld, database, tmp_path) as world:
        yield world


class EndedHereError(Exception):
    """The test ends a rebuild here."""


@pytest.mark.parametrize("seed", range(3))
async def test_interrupted_anywhere_it_ends_equal_to_the_rows(
    world: RebuildWorld, tmp_path: Path, seed: int
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


async def test_one_after_the_other(world: RebuildWorld, tmp_path: Path) -> None:
    async with traffic(world):
        for number in (1, 2):
            plan = await rebuild(world.tools, lambda _: None)
            assert plan == Plan(f"{GENERATION}r{number}", number=number)
    await world.proves_equal(tmp_path)


async def test_what_was_closed_long_ago_is_not_filled_in(world: RebuildWorld) -> None:
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


async def test_of_two_at_once_one_stops(world: RebuildWorld, tmp_path: Path) -> None:
    async with traffic(world), connect_generations(world.redis.url) as generations:
        others = Tools(
            world.tools.connection, generations, world.tools.maintenance, grace_seconds=GRACE_SECONDS
        )
        outcomes = await asyncio.gather(
            rebuild(world.tools, lambda _: None), rebuild(others, lambda _: None), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Plan", "RebuildOvertakenError"]
    await world.proves_equal(tmp_path)


async def test_what_does_not_come_to_be_equal_is_not_switched_to(
    world: RebuildWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        await abandon(world.tools.generations)
        with pytest.raises(RebuildError, match="nothing to give up"):
            await abandon(world.tools.generations)
        assert await rebuild(world.tools, lambda _: None) == Plan(GENERATION, number=1)
    await world.proves_equal(tmp_path)
