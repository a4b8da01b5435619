"""The continuous proof of the read model: what is spoilt there is found within one cycle, and put right."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis import Redis

from cdc.comparison import VIEW, Spot
from cdc.reconcile import reconcile
from cdc.tables import BY_KIND, connect_database
from cdc.view_check import differences
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import GENERATION, Changes, Maintenance
from query_svc.read_model.keys import Keys, bucket_of
from tests.integration.reconciler_world import World, cycle, reconciler_world
from tests.redis_server import content
from tests.stack_fixture import RunningStack
from tests.stock import item, level, location, lot, order

pytestmark = pytest.mark.stack

KEYS = Keys(GENERATION)


@pytest.fixture
async def world(database: RunningStack, tmp_path: Path) -> AsyncIterator[World]:
    async with reconciler_world(database, tmp_path) as world:
        yield world


def overwrite(kind: str, thing: object) -> Callable[[Redis, Maintenance], object]:
    """Return what shows a thing at a version that it never had."""
    return lambda _, view: view.put(Changes.of(kind, [thing]))  # type: ignore[list-item] # of that kind


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("levels", overwrite("levels", level("S-9", "W-9", 7))),
        ("levels", overwrite("levels", level("S-9", "NOWHERE", 7))),
        ("items", overwrite("items", item("S-9", 7))),
        ("items", overwrite("items", item("NONE", 7))),
        ("lots", overwrite("lots", lot("S-1", "W-1", "L-9", 1))),
        ("orders", overwrite("orders", order(1))),
        (
            "levels",
            lambda redis, _: redis.hset(KEYS.levels("S-9"), "W-9", b"1 rubbish"),
        ),
        (
            "items",
            lambda redis, _: redis.hset(KEYS.items(bucket_of("S-9")), "S-9", b"rubbish"),
        ),
        (
            "items",
            lambda redis, _: redis.zrem(KEYS.of_bucket(bucket_of("S-9"), "items-by-sku"), "S-9"),
        ),
        (
            "levels",
            lambda redis, _: redis.delete(KEYS.entries(bucket_of("S-9"))),
        ),
    ],
)
async def test_a_view_that_is_spoilt_is_reported_and_put_right(
    world: World, kind: str, spoil: Callable[[Redis, Maintenance], object]
) -> None:
    with world.redis.client() as client:
        right = content(client)
        async with world.reconciler() as reconciler:
            assert (await cycle(reconciler)).faults == []
            done = spoil(client, await world.view.maintenance())
            if asyncio.iscoroutine(done):
                await done
            assert content(client) != right
            await cycle(reconciler)
            assert (await cycle(reconciler)).faults == []
            found = reconciler.status.total.drift.total() + reconciler.status.total.repaired[Spot(VIEW, kind)]
            assert found >= 1
        assert content(client) == right


@pytest.mark.parametrize(
    ("statement", "wrong", "right", "fault"),
    [
        ("UPDATE stock_levels SET safety_stock = {} WHERE {}", 2, 0, "differ in safety_stock, sellable"),
        ("UPDATE stock_levels SET reorder_point = {} WHERE {}", 2000, 0, "differ in reorder_point, low"),
        ("UPDATE items SET name = {} WHERE sku = 'S-9'", "'Cup'", "'Item 9'", "differ in name"),
        (
            "UPDATE items SET version = {} WHERE sku = 'S-9'",
            2,
            1,
            "the row says version 2, the read model shows version 1",
        ),
        (
            "UPDATE locations SET name = {} WHERE location_id = 'W-9'",
            "'South'",
            "'Place 9'",
            "differ in name",
        ),
    ],
)
async def test_once_over_a_row_that_the_view_does_not_show_is_told_and_left(
    world: World, statement: str, wrong: object, right: object, fault: str
) -> None:
    here = "sku = 'S-9' AND location_id = 'W-9'"
    world.run(statement.format(wrong, here))
    try:
        for _ in range(2):
            (told,) = (await reconcile(world.query_url, world.view)).faults
            assert fault in told
    finally:
        world.run(statement.format(right, here))
    assert (await reconcile(world.query_url, world.view)).fault_count == 0


async def test_once_over_a_spoilt_view_is_told_and_left(world: World) -> None:
    """Another figure, a thing too many, one too few."""
    view = await world.view.maintenance()
    await view.put(Changes(levels=[level("S-9", "W-9", 99, 123), level("S-9", "NOWHERE", 1)]))
    await view.put(Changes(items=[item("NONE", 1)], locations=[location("NONE", 1)]))
    with world.redis.client() as client:
        client.hdel(KEYS.levels("S-8"), "W-8")
    for _ in range(2):
        told = (await reconcile(world.query_url, world.view)).faults
        left_over = [fault for fault in told if fault.startswith("the list entry 'W-8 S-8'")]
        left_over += [fault for fault in told if fault.startswith("the list entry 'S-8 W-8'")]
        assert [fault for fault in told if fault not in left_over] == [
            "S-8 at W-8: the row says [1000, 0, 0, 0, 1], the read model shows None",
            (
                "S-9 at W-9: the row says [1000, 0, 0, 0, 1], the read model shows [123, 30, 0, 0, 99]:"
                " they differ in on_hand, reserved, available, safety_stock, sellable, backorder_limit,"
                " reorder_point, version, update_time"
            ),
            "item NONE: the read model shows it, there is no row",
            "location NONE: the read model shows it, there is no row",
            "S-9 at NOWHERE: the read model shows it, there is no row",
        ]
        assert len(left_over) == 3  # by location, and twice as low


async def test_what_is_only_stale_is_repaired_without_a_word(world: World) -> None:
    with world.redis.client() as client:
        right = content(client)
        async with world.reconciler() as reconciler:
            for key in [KEYS.levels("S-9"), KEYS.items(bucket_of("S-9"))]:
                client.delete(key)
            await cycle(reconciler)
            await cycle(reconciler)
            assert reconciler.status.total.repaired[Spot(VIEW, "levels")] == 40
            assert reconciler.status.total.repaired[Spot(VIEW, "items")] >= 1
            assert not reconciler.status.total.drift
        assert content(client) == right


async def test_an_entry_of_a_list_that_belongs_to_no_row_is_taken_away(world: World) -> None:
    with world.redis.client() as client:
        right = content(client)
        low = KEYS.of_bucket(bucket_of("S-9"), "low-by-sku")
        none = KEYS.of_bucket(bucket_of("S-9"), "orders-by-reference")
        client.zadd(low, {b"S-9\0NOWHERE": 0})
        client.zadd(none, {b"O\0S-9": 0})
        faults = (await reconcile(world.query_url, world.view)).faults
        assert sorted(faults) == [
            f"the list entry 'O S-9' of orders-by-reference, bucket {bucket_of('S-9')} belongs to no row",
            f"the list entry 'S-9 NOWHERE' of low-by-sku, bucket {bucket_of('S-9')} belongs to no row",
        ]
        async with world.reconciler() as reconciler:
            await cycle(reconciler)
            await cycle(reconciler)
            assert reconciler.status.total.repaired[Spot(VIEW, "lists")] == 2
            assert not reconciler.status.total.drift
        assert content(client) == right


async def test_a_view_that_is_ahead_for_a_moment_is_right(world: World) -> None:
    """The stream may tell of a commit before this reader sees it: it is asked again while time is left."""
    table, view = BY_KIND["levels"], await world.view.maintenance()
    async with connect_database(world.query_url) as connection:
        (row,) = await table.named(connection, [("S-5", "W-5")])
        before: StockLevel = table.message(row)
        later = StockLevel.FromString(before.SerializeToString())
        later.version += 1
        await view.put(Changes(levels=[later]))
        (found,) = await differences(connection, world.view.maintenance, table, [before], time.monotonic())
        assert (found.stale, found.stored.version) == (False, later.version)

        async def commit() -> None:
            await asyncio.sleep(0.3)
            await asyncio.to_thread(
                world.run, "UPDATE stock_levels SET version = 2 WHERE sku = 'S-5' AND location_id = 'W-5'"
            )

        committing = asyncio.create_task(commit())
        try:
            assert (
                await differences(connection, world.view.maintenance, table, [before], time.monotonic() + 10)
                == []
            )
        finally:
            await committing
            world.run("UPDATE stock_levels SET version = 1 WHERE sku = 'S-5' AND location_id = 'W-5'")
