"""The continuous proof, on a real PostgreSQL and Redis: what is spoilt anywhere is found within one cycle."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from redis import Redis

from cdc.comparison import VIEW, Spot
from cdc.reconcile import Reconciler, Report, reconcile
from cdc.tables import BY_KIND, TABLES, connect_database
from cdc.view_check import differences
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import GENERATION, Changes, Maintenance, ReadModel, connect
from query_svc.read_model.keys import Keys, bucket_of
from tests.redis_server import RedisServer, binaries, content, redis_server
from tests.stack_fixture import RunningStack
from tests.stock import item, level, location, lot, order

pytestmark = pytest.mark.stack

KEYS = Keys(GENERATION)


class World:
    """Rows, and a Redis that shows them."""

    def __init__(self, database: RunningStack, redis: RedisServer, view: ReadModel) -> None:
        self.query_url = database.postgres_url("query")
        self.redis = redis
        self.view = view
        self._owner_url = database.postgres_url("owner")

    def run(self, statement: str) -> None:
        """Run SQL as the owner."""
        with psycopg.connect(self._owner_url, autocommit=True) as connection:
            connection.execute(statement.encode())

    async def fill(self) -> None:
        """Show the rows as they are."""
        view = await self.view.maintenance()
        async with await connect_database(self.query_url) as connection:
            for table in TABLES:
                rows = await table.page(connection, None, 10_000)
                await view.put(Changes.of(table.kind, [table.message(row) for row in rows]))

    @asynccontextmanager
    async def reconciler(self, patience: float = 0.2) -> AsyncIterator[Reconciler]:
        """Run a reconciler meanwhile."""
        reconciler = Reconciler(self.query_url, self.view, interval=0, share=1, patience=patience)
        running = asyncio.create_task(reconciler.run())
        try:
            yield reconciler
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def cycle(reconciler: Reconciler) -> Report:
    """Return the report of the next cycle that begins."""
    cycles = reconciler.status.cycles + (2 if reconciler.status.walk else 1)
    async with asyncio.timeout(60):
        while reconciler.status.cycles < cycles:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)
    assert reconciler.status.last is not None
    return reconciler.status.last


def by_place(counts: Counter[Spot]) -> Counter[str]:
    """Return how many there are at each place."""
    places = Counter[str]()
    for spot, number in counts.items():
        places[spot.place] += number
    return places


@pytest.fixture
async def world(database: RunningStack, tmp_path: Path) -> AsyncIterator[World]:
    """Give a world in which all agrees."""
    with redis_server(binaries()["valkey"], tmp_path) as redis:
        async with connect(redis.url) as view:
            world = World(database, redis, view)
            await world.fill()
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


@pytest.mark.parametrize(
    ("kind", "closed", "is_open"),
    [
        ("reservations", "CONFIRMED", "PENDING"),
        ("orders", "CANCELLED", "OPEN"),
        ("transfers", "RECEIVED", "IN_TRANSIT"),
    ],
)
async def test_what_has_been_closed_for_long_leaves_the_view(
    world: World, kind: str, closed: str, is_open: str
) -> None:
    """However it came there; what is open, or was closed later, stays. Nobody misses what has left."""
    table = BY_KIND[kind]
    (key,) = table.key
    names = {days: str(uuid4()) for days in (29, 31)}
    with world.redis.client() as client:
        try:
            # What is open has not changed for as long.
            world.run(f"UPDATE {kind} SET update_time = now() - interval '31 days' WHERE state = '{is_open}'")  # noqa: S608
            client.flushall()
            await world.fill()
            for days, name in names.items():
                changed = f"'state', '{closed}', 'version', 9, 'update_time', now() - interval '{days} days'"
                world.run(
                    f"INSERT INTO {kind}"  # noqa: S608
                    f" SELECT (jsonb_populate_record(t, jsonb_build_object('{key}', '{name}', {changed}))).*"
                    f" FROM {kind} AS t WHERE state = '{is_open}' LIMIT 1"
                )
            assert (await reconcile(world.query_url, world.view)).drift.total() == 1  # of 29 days
            await world.fill()
            assert names[31] in str(content(client))
            assert (await reconcile(world.query_url, world.view)).faults == []

            async with world.reconciler() as reconciler:
                await cycle(reconciler)
                shown = str(content(client))
                assert (names[29] in shown, names[31] in shown) == (True, False)
                async with await connect_database(world.query_url) as connection:
                    rows = await table.page(connection, None, 1000)
                ids = [table.name_of(row)[0] for row in rows if row["state"] == is_open]
                assert all(await getattr(world.view, kind)(ids))
                # An old record comes again, of when it was open.
                (row,) = [row for row in rows if table.name_of(row) == (names[31],)]
                view = await world.view.maintenance()
                await view.put(Changes.of(kind, [table.message(row | {"state": is_open, "version": 1})]))
                await cycle(reconciler)
                await cycle(reconciler)
                assert names[31] not in str(content(client))
                assert not reconciler.status.total.drift
                assert reconciler.status.total.retired[Spot(VIEW, kind)] >= 2
        finally:
            world.run(f"DELETE FROM {kind} WHERE {key} IN {tuple(names.values())}")  # noqa: S608
            world.run(f"UPDATE {kind} SET update_time = now()")  # noqa: S608


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
    async with await connect_database(world.query_url) as connection:
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
