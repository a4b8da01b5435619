"""What was committed and when, straight from Postgres: the demo's only SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import psycopg

from demo.books import Books, Standing
from demo.events import Level

FETCH = 5_000


class Commits:
    """Reads the ledger as the role that may only read; one query at a time."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    async def standings(self, skus: Sequence[str]) -> dict[Level, Standing]:
        """Return where every level of these items stands, by what is committed."""
        query = "SELECT sku, location_id, on_hand, version FROM stock_levels WHERE sku = ANY(%s)"
        cursor = await self._connection.execute(query, (list(skus),))
        return {
            (sku, place): Standing(on_hand, version)
            for sku, place, on_hand, version in await cursor.fetchall()
        }

    async def books_of(self, actor: str, since: datetime) -> Books:
        """Return the books of everything that `actor` has done since then, as the ledger has it."""
        books = Books()
        query = """
            SELECT sku, location_id, on_hand_delta, request_id
            FROM stock_movements
            WHERE actor = %s AND record_time >= %s
        """
        async with self._connection.transaction(), self._connection.cursor("entries") as cursor:
            cursor.itersize = FETCH
            await cursor.execute(query, (actor, since))
            async for sku, location_id, delta, request_id in cursor:
                books.enter((sku, location_id), delta, request_id)
        return books

    async def commit_times(self, level: Level, versions: Sequence[int]) -> dict[int, float]:
        """Return when each of these entries of a level was committed, in seconds since 1970.

        Needs a server with track_commit_timestamp on; psycopg.Error otherwise.
        """
        query = """
            SELECT version, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8
            FROM stock_movements
            WHERE sku = %s AND location_id = %s AND version = ANY(%s)
        """
        cursor = await self._connection.execute(query, (*level, list(versions)))
        return dict(await cursor.fetchall())


@asynccontextmanager
async def connect(database: str) -> AsyncIterator[Commits]:
    """Open the database at this URL; raises psycopg.OperationalError when that fails."""
    connection = await psycopg.AsyncConnection.connect(database, autocommit=True, connect_timeout=5)
    async with connection:
        yield Commits(connection)
