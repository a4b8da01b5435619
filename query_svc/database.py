"""PostgreSQL, read in snapshots: all that one answer is made of is from one instant."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Self, cast

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from query_svc.rows import Row
from serving.tokens import CommittedTransaction, installation_of

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Parameters = Mapping[str, object] | Sequence[object]

MAX_STATEMENT_SECONDS = 30.0
# Calls that wait for a connection; one more is told that the database does not answer.
MAX_WAITING = 200
JOURNAL_KEPT = timedelta(days=6)
"""A transaction this young is in the journal for certain: that is kept for seven days."""

# What is committed before the transaction begins is in its snapshot, which the first statement takes.
# A replica tells when the last transaction that it has was committed; a second is taken off, for those whose
# order in the log is not quite that of their clocks.
_BEGIN = """
SELECT CASE WHEN pg_is_in_recovery()
        THEN coalesce(pg_last_xact_replay_timestamp() - interval '1 second', 'epoch') ELSE now() END,
    set_config('statement_timeout', %s, true)
"""
_INSTALLATION = "SELECT id FROM installation"
_KNOWS = "SELECT EXISTS (SELECT FROM journal WHERE id = %s AND create_time = %s)"


class DatabaseUnavailableError(Exception):
    """The database does not answer, or not in time."""


class Snapshot:
    """The database as it was at one instant. Everything committed before `as_of` is in it."""

    def __init__(self, connection: Connection, as_of: datetime) -> None:
        self.as_of = as_of
        self._connection = connection

    async def values(self, statement: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query as tuples."""
        cursor = await self._connection.execute(statement, parameters, binary=True)
        return await cursor.fetchall()

    async def rows(self, statement: str, parameters: Parameters = ()) -> list[Row]:
        """Return the rows of a query by the names of their columns."""
        cursor = self._connection.cursor(binary=True, row_factory=dict_row)
        await cursor.execute(statement, parameters)
        return await cursor.fetchall()

    async def lacks(self, transaction: CommittedTransaction) -> bool:
        """Tell whether the transaction is certainly not in it."""
        if transaction.record_time < self.as_of - JOURNAL_KEPT:
            return False
        ((known,),) = await self.values(_KNOWS, (transaction.transaction_id, transaction.record_time))
        return not known


class Database:
    """Reads the database, or a replica of it, as the role `inventory_query`.

    Use as an async context manager; entering it does not wait for the database. Every method raises
    DatabaseUnavailableError, after `connect_timeout` at the latest when no connection can be had.
    """

    def __init__(self, database_url: str, *, connections: int, connect_timeout: float) -> None:
        """Take the pool's size and the longest wait for a connection, in seconds."""
        self._connect_timeout = connect_timeout
        self.installation: bytes | None = None
        """What stands for this installation in tokens: read on each connection, None before the first."""
        self._pool = AsyncConnectionPool[Connection](
            database_url,
            min_size=1,
            max_size=connections,
            max_waiting=MAX_WAITING,
            open=False,
            configure=self._configure,
            kwargs={
                "application_name": "inventory-query",
                "connect_timeout": max(1, int(connect_timeout)),
                "options": "-c timezone=UTC",
            },
        )

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def ping(self) -> None:
        """Return when the database answers."""
        async with self.snapshot(MAX_STATEMENT_SECONDS):
            pass

    @asynccontextmanager
    async def snapshot(self, seconds: float) -> AsyncIterator[Snapshot]:
        """Give a snapshot, of which no statement takes more than so many seconds."""
        # Never before the call's own time is over: the end of that is no failure of the database.
        milliseconds = max(1, math.ceil(min(seconds, MAX_STATEMENT_SECONDS) * 1000))
        try:
            wait = min(seconds, self._connect_timeout)
            async with self._pool.connection(timeout=wait) as connection:
                cursor = await connection.execute(_BEGIN, (str(milliseconds),), binary=True)
                ((as_of, _),) = await cursor.fetchall()
                yield Snapshot(connection, cast("datetime", as_of))
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            raise DatabaseUnavailableError(str(error)) from error

    async def _configure(self, connection: Connection) -> None:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        cursor = await connection.execute(_INSTALLATION)
        ((installation_id,),) = await cursor.fetchall()
        self.installation = installation_of(installation_id)
        await connection.rollback()
