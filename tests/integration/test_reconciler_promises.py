"""The continuous proof of promises: what has been closed for long leaves the view, and no cycle reads it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql

from cdc.comparison import VIEW, Spot
from cdc.reconcile import reconcile
from cdc.tables import BY_KIND, FIRST_ID, Place, Which, connect_database
from query_svc.read_model import GENERATION, Changes
from query_svc.read_model.keys import Keys, bucket_of
from tests.integration.reconciler_world import World, cycle, reconciler_world
from tests.redis_server import content
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

KEYS = Keys(GENERATION)


@pytest.fixture
async def world(database: RunningStack, tmp_path: Path) -> AsyncIterator[World]:
    async with reconciler_world(database, tmp_path) as world:
        yield world


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
                async with connect_database(world.query_url) as connection:
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


@pytest.fixture
def made_long_ago(world: World) -> Iterator[str]:
    """Give an order that was made 60 days ago and closed yesterday, among thousands closed long ago."""
    name = "01500000-0000-7000-8000-ffffffffffff"
    copy = (
        "INSERT INTO orders SELECT (jsonb_populate_record(t, jsonb_build_object("
        "'order_id', {id}, 'state', 'CANCELLED', 'update_time', now() - interval '{days} days'))).*"
        " FROM orders AS t, generate_series(1, {number}) AS n"
        " WHERE t.order_id = (SELECT order_id FROM orders WHERE state = 'OPEN' LIMIT 1)"
    )
    old = "('01500000-0000-7000-8000-' || lpad(n::text, 12, '0'))"
    try:
        world.run(copy.format(id=f"'{name}'", days=1, number=1))
        world.run(copy.format(id=old, days=90, number=5000))
        world.run("ANALYZE orders")
        yield name
    finally:
        first = "01500000-0000-7000-8000-000000000000"
        world.run(f"DELETE FROM orders WHERE order_id BETWEEN '{first}' AND '{name}'")  # noqa: S608 - ids of its own


async def test_a_cycle_reads_none_of_what_was_closed_long_ago(world: World, made_long_ago: str) -> None:
    """Of thousands, an index finds those that are open, and another those that were closed lately."""
    orders = BY_KIND["orders"]
    lately: Place = (datetime.now(UTC) - timedelta(days=30), FIRST_ID)
    async with connect_database(world.query_url) as connection:
        found = await orders.page(connection, lately, 500, Which.CLOSED)
        assert (made_long_ago,) in map(orders.name_of, found)
        for after, which in ((None, Which.OPEN), (lately, Which.CLOSED)):
            statement, parameters = orders.reading(after, 500, which)
            explained = await connection.execute(
                sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + statement, parameters
            )
            (row,) = await explained.fetchall()
            plan = str(row)
            assert "Seq Scan" not in plan
            assert "Index Scan" in plan
            removed = [int(number) for number in re.findall(r"'Rows Removed by Filter': (\d+)", plan)]
            assert sum(removed) < 100


async def test_what_was_made_long_ago_and_closed_lately_is_compared_all_the_same(
    world: World, made_long_ago: str
) -> None:
    """What is shown of it, and that it is not shown, in each cycle."""
    await world.fill()
    key = KEYS.of_bucket(bucket_of(made_long_ago), "orders")
    with world.redis.client() as client:
        right = client.hget(key, made_long_ago)
        async with world.reconciler() as reconciler:
            assert (await cycle(reconciler)).faults == []
            client.hset(key, made_long_ago, b"1 rubbish")
            await cycle(reconciler)
            await cycle(reconciler)
            assert reconciler.status.total.drift[Spot(VIEW, "orders")] == 1
            assert client.hget(key, made_long_ago) == right
            client.hdel(key, made_long_ago)
            await cycle(reconciler)
            assert reconciler.status.total.repaired[Spot(VIEW, "orders")] == 1
            assert client.hget(key, made_long_ago) == right
        client.hdel(key, made_long_ago)
        assert (await reconcile(world.query_url, world.view)).drift[Spot(VIEW, "orders")] == 1
