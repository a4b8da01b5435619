"""Rows, a Redis that shows them, and a reconciler that runs over both."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg

from cdc.comparison import Spot
from cdc.reconcile import Reconciler, Report
from cdc.tables import TABLES, connect_database
from query_svc.read_model import Changes, ReadModel, connect
from tests.redis_server import RedisServer, binaries, redis_server
from tests.stack_fixture import RunningStack


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
        async with connect_database(self.query_url) as connection:
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


@asynccontextmanager
async def reconciler_world(database: RunningStack, folder: Path) -> AsyncIterator[World]:
    """Give a world in which all agrees."""
    with redis_server(binaries()["valkey"], folder) as redis:
        async with connect(redis.url) as view:
            world = World(database, redis, view)
            await world.fill()
            yield world
