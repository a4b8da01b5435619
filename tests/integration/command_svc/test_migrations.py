"""The newest migration comes, goes and comes again while commands are served: none of them fails."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from command_svc.batcher import Batcher
from command_svc.domain.catalog import CreateItem, CreateLocation
from command_svc.domain.item import Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.location import Location
from command_svc.domain.stock import AddStock, MoveStock
from stack.postgres_server import MIGRATIONS
from tests.integration.command_svc.lanes import Answer, ask, lane
from tests.integration.command_svc.shop import Shop
from tests.stack_fixture import RunningStack, running_stack

pytestmark = pytest.mark.stack

CALLERS = 6
ROUNDS = ("rollback", "migrate", "rollback", "migrate")
# Every tenth of them is open.
ORDERS = """
INSERT INTO orders (order_id, state, line_skus, line_quantities, skus, location_ids, lot_ids, quantities,
    backordered, shipped, cancelled, returned, waiting, channel, reference, actor, version, create_time,
    update_time)
SELECT uuidv7(), CASE WHEN n % 10 = 0 THEN 'OPEN' ELSE 'FULFILLED' END, '{song}', '{1}', '{}', '{}', '{}',
    '{}', '{}', '{}', '{}', '{}', '{}', '', '', 'test', 1, now(), now() - n * interval '1 hour'
FROM generate_series(1, 2500) AS n
"""


@pytest.fixture(scope="module")
def database() -> Iterator[RunningStack]:
    """Give a database alone."""
    with running_stack("migrations", only=("postgres", "database")) as running:
        yield running


async def test_the_newest_migration_fails_no_command_of_a_lane_that_serves(database: RunningStack) -> None:
    shop = Shop(database, "mug", LevelKey("mug", "north"), LevelKey("mug", "south"))
    await shop.carry_out(
        CreateItem(Item("mug", "Mug")),
        CreateLocation(Location("north", "North", "STORE")),
        CreateLocation(Location("south", "South", "STORE")),
    )
    served = [0]  # commands before the first round, and in each
    stop = asyncio.Event()

    async def serve(batcher: Batcher) -> list[Answer]:
        answers: list[Answer] = []
        while not stop.is_set():
            both = [
                shop.many(
                    AddStock(shop.north, 1, "RECEIPT"), MoveStock(shop.north, shop.south, 1, "REBALANCE")
                )
            ]
            (some,) = await ask(batcher, both)
            answers += some
            served[-1] += len(some)
        return answers

    async with lane(shop.url) as batcher, asyncio.TaskGroup() as group:
        callers = [group.create_task(serve(batcher)) for _ in range(CALLERS)]
        await asyncio.sleep(0.5)
        for action in ROUNDS:
            served.append(0)
            await dbmate(database, action)
        stop.set()
    answers = [answer for caller in callers for answer in caller.result()]
    assert [answer for answer in answers if not isinstance(answer, bytes)] == []
    assert min(served) > 0
    rows = shop.audit()
    assert rows[shop.north].on_hand == 0
    assert rows[shop.south].on_hand == len(answers) // 2
    # What the version before it asks for is there still.
    with psycopg.connect(shop.url) as connection:
        assert connection.execute("SELECT create_partitions()").fetchone() == (0,)


async def dbmate(database: RunningStack, action: str) -> None:
    """Take the newest migration back, or apply it."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "dbmate"),
        "--migrations-dir",
        str(MIGRATIONS),
        "--no-dump-schema",
        action,
        env={"DATABASE_URL": database.postgres_url("owner"), "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


def test_what_was_closed_before_gets_the_time_of_its_last_change(database: RunningStack) -> None:
    """In several steps, each committed by itself; what is open gets none."""
    (path,) = MIGRATIONS.glob("*_closed_time_of_before.sql")
    statement = path.read_text().split("-- migrate:down", maxsplit=1)[0]
    with psycopg.connect(database.postgres_url("owner"), autocommit=True) as connection:
        connection.execute("ALTER TABLE orders DISABLE TRIGGER closed_time_follows")
        connection.execute(ORDERS)
        connection.execute("ALTER TABLE orders ENABLE TRIGGER closed_time_follows")
        connection.execute(statement.encode())
        found = connection.execute(
            "SELECT state = 'OPEN', closed_time = update_time, count(*) FROM orders GROUP BY 1, 2 ORDER BY 1"
        )
        assert found.fetchall() == [(False, True, 2250), (True, None, 250)]
        connection.execute("DELETE FROM orders")
