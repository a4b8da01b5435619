"""The continuous proof, on a real PostgreSQL and Redis: books that are spoilt are found within one cycle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cdc.comparison import VIEW, Spot
from tests.integration.reconciler_world import World, by_place, cycle, reconciler_world
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


@pytest.fixture
async def world(database: RunningStack, tmp_path: Path) -> AsyncIterator[World]:
    async with reconciler_world(database, tmp_path) as world:
        yield world


@pytest.mark.parametrize(
    ("place", "statement", "right", "wrong"),
    [
        ("ledger", "UPDATE stock_movements SET on_hand_delta = {} WHERE sku = 'S-1'", 1000, 10),
        ("ledger", "UPDATE stock_movements SET version = {} WHERE sku = 'S-1'", 1, 2),
        ("ledger", "UPDATE stock_levels SET version = {} WHERE sku = 'S-1'", 1, 2),
        ("lots", "UPDATE lots SET on_hand = {} WHERE lot_id = 'L-2'", 500, 499),
        ("lots", "UPDATE lots SET reserved = {} WHERE location_id = 'W-1' AND lot_id = 'L-1'", 50, 51),
        ("lots", "UPDATE lots SET serials = {} WHERE location_id = 'W-1' AND lot_id = 'L-1'", 2, 1),
        ("lots", "UPDATE serials SET present = {} WHERE number = 'N-2'", "true", "false"),
        ("promises", "UPDATE reservations SET quantities = '{{{},2}}' WHERE state = 'PENDING'", 2, 1),
        ("promises", "UPDATE orders SET backordered = '{{{}}}'", 1, 0),
        ("promises", "UPDATE transfers SET received = '{{{},0}}'", 1, 2),
    ],
)
async def test_books_that_are_spoilt_are_found_within_a_cycle(
    world: World, place: str, statement: str, right: object, wrong: object
) -> None:
    async with world.reconciler() as reconciler:
        assert (await cycle(reconciler)).faults == []
        world.run(statement.format(wrong))
        try:
            assert by_place((await cycle(reconciler)).drift)[place] >= 1
            # Nobody mends the books: it is reported again.
            assert by_place((await cycle(reconciler)).drift)[place] >= 1
        finally:
            world.run(statement.format(right))
        await cycle(reconciler)
        assert (await cycle(reconciler)).fault_count == 0
        assert by_place(reconciler.status.total.drift)[place] >= 2


async def test_it_waits_for_what_is_away_and_goes_on_from_there(world: World) -> None:
    async with world.reconciler() as reconciler:
        await cycle(reconciler)
        world.redis.kill()
        async with asyncio.timeout(20):
            while not reconciler.status.trouble:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.02)
        assert not reconciler.status.total.drift
        world.redis.start()  # empty
        await cycle(reconciler)
        await cycle(reconciler)
        assert reconciler.status.trouble == ""
        assert reconciler.status.total.repaired[Spot(VIEW, "levels")] == 2400
        assert not reconciler.status.total.drift
        level = await world.view.level("S-5", "W-5")
        assert level is not None
        assert level.on_hand == 1000
