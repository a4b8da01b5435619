"""The command store: one transaction that locks, reads, lets the caller decide, and commits."""

from __future__ import annotations

import asyncio
import math
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Self, TypeVar
from uuid import UUID

import psycopg
from psycopg.types.numeric import Int8BinaryDumper
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from command_svc.domain.scope import Scope
from command_svc.domain.transaction import Transaction
from command_svc.store import statements
from command_svc.store.errors import translate
from command_svc.store.reading import Connection, read, set_timeout
from command_svc.store.writing import effects

T = TypeVar("T")

RECONNECT_SECONDS = 1.0
SILENCE_SECONDS = 1.0
"""How long after its time a transaction may stay unanswered: a database that lives has ended it by then."""


class CommandStore:
    """Runs transactions on PostgreSQL as the role `inventory_command`.

    `encode_journal` turns a decided transaction into the payloads of its journal record. Use as an async
    context manager; entering it does not wait for the database.
    """

    def __init__(  # noqa: PLR0913 - each is named by whoever calls
        self,
        database_url: str,
        encode_journal: Callable[[Transaction], Sequence[bytes]],
        *,
        connections: int,
        statement_timeout: float,
        connect_timeout: float,
        lock_timeout: float = 0.5,
    ) -> None:
        """Take the pool's size and, in seconds, the longest a statement, a connection and a lock may take."""
        self._encode_journal = encode_journal
        self._statement_timeout = statement_timeout
        self._connect_timeout = connect_timeout
        milliseconds = int(statement_timeout * 1000)
        self._pool = AsyncConnectionPool[Connection](
            database_url,
            min_size=1,
            max_size=connections,
            timeout=connect_timeout,
            # The pool would wait twice as long after each failed attempt, for minutes in the end: it gives
            # up instead, and whoever asks next makes a new one.
            reconnect_timeout=RECONNECT_SECONDS,
            open=False,
            configure=_configure,
            kwargs={
                "application_name": "inventory-command",
                "connect_timeout": max(1, int(connect_timeout)),
                # A database host that is gone says nothing: give up on it all the same.
                "tcp_user_timeout": 2 * milliseconds,
                "options": f"-c timezone=UTC -c statement_timeout={milliseconds} "
                f"-c lock_timeout={int(lock_timeout * 1000)} "
                f"-c idle_in_transaction_session_timeout={milliseconds}",
            },
        )

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def ping(self) -> None:
        """Return when the database answers; raises StoreError."""

        async def work(connection: Connection) -> None:
            await connection.execute("SELECT 1")

        await self._run(work)

    async def overdue(self, limit: int) -> list[UUID]:
        """Return up to `limit` reservations that are pending though expired, the oldest first.

        Raises StoreError.
        """

        async def work(connection: Connection) -> list[UUID]:
            cursor = await connection.execute(statements.READ_OVERDUE, [limit], prepare=True, binary=True)
            return [row[0] for row in await cursor.fetchall()]

        return await self._run(work)

    async def transact(
        self, scope: Scope, decide: Callable[[Transaction], None], *, within: float = math.inf
    ) -> None:
        """Lock and read `scope`, call `decide` with what was read, commit what it entered.

        Returns once that is durable (or, if `decide` entered nothing, once the locks are released). No
        statement of it runs longer than `within` seconds. Raises StoreError, and whatever `decide` raises;
        after UnavailableError it is unknown whether the commit took place.
        """
        within = min(within, self._statement_timeout)

        async def work(connection: Connection) -> None:
            async with connection.pipeline():
                await set_timeout(connection, within)
                transaction = await read(connection, scope)
                decide(transaction)
                if transaction.is_empty:
                    await connection.rollback()
                    return
                for statement, parameters in effects(transaction, self._encode_journal(transaction)):
                    await connection.execute(statement, parameters, prepare=True)
                await connection.commit()

        await self._run(work, within)

    async def _run(self, work: Callable[[Connection], Awaitable[T]], within: float | None = None) -> T:
        seconds = self._statement_timeout if within is None else within
        loop = asyncio.get_running_loop()
        try:
            async with self._pool.connection(min(seconds, self._connect_timeout)) as connection:
                # A host that hangs, or a network that swallows, would keep the lane for ever.
                silence = loop.call_later(seconds + SILENCE_SECONDS, _cut, connection)
                try:
                    return await work(connection)
                finally:
                    silence.cancel()
        except (psycopg.Error, PoolTimeout) as error:
            raise translate(error) from error


def _cut(connection: Connection) -> None:
    """End the connection under whoever waits for it, who then meets a psycopg.OperationalError."""
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as way:
        way.shutdown(socket.SHUT_RDWR)


async def _configure(connection: Connection) -> None:
    # One width for every integer: else each mix of small and large numbers is a statement of its own.
    connection.adapters.register_dumper(int, Int8BinaryDumper)
