"""Another user of the database, in whose way the transactions of stores are, and the other way round."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from command_svc.domain.levels import LevelKey
from command_svc.domain.scope import Scope
from command_svc.domain.transaction import Transaction
from tests.integration.command_svc.lanes import store
from tests.integration.command_svc.shop import Shop

PATIENCE = 10.0
_LOCK = "SELECT FROM stock_levels WHERE sku = %s AND location_id = %s FOR UPDATE"

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class Neighbour:
    """Another user of the database, with a transaction of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lock(self, key: LevelKey) -> None:
        """Lock a level."""
        await self._connection.execute(_LOCK, key)

    async def run(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        return await (await self._connection.execute(statement, parameters)).fetchall()

    async def free(self, keys: Iterable[LevelKey]) -> set[LevelKey]:
        """Return which of the levels nobody else has locked."""
        free = set()
        for key in keys:
            cursor = await self._connection.execute(f"{_LOCK} SKIP LOCKED", key)
            if await cursor.fetchone() is not None:
                free.add(key)
        await self._connection.rollback()
        return free

    async def blocks(self, number: int) -> None:
        """Wait until so many others wait for this one, directly or behind each other."""
        async with asyncio.timeout(PATIENCE):
            async with await psycopg.AsyncConnection.connect(
                self._connection.info.dsn, autocommit=True, password=self._connection.info.password
            ) as watcher:
                while True:
                    cursor = await watcher.execute(
                        "WITH RECURSIVE waiting (pid) AS ("
                        " SELECT %s::int UNION SELECT a.pid FROM pg_stat_activity AS a, waiting AS w"
                        " WHERE w.pid = ANY(pg_blocking_pids(a.pid))"
                        ") SELECT count(*) - 1 FROM waiting",
                        (self._connection.info.backend_pid,),
                    )
                    if await cursor.fetchone() == (number,):
                        return
                    await asyncio.sleep(0.005)

    async def let_go(self) -> None:
        """Commit."""
        await self._connection.commit()


@asynccontextmanager
async def transacting(
    shop: Shop, *plans: tuple[Scope, Callable[[Transaction], object]]
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Carry out transactions, each in a store of its own; they end before the block does."""
    stores = [store(shop.url) for _ in plans]
    tasks = []
    try:
        for one, (scope, decide_on) in zip(stores, plans, strict=True):
            await one.__aenter__()
            await one.ping()

            def call(transaction: Transaction, do: Callable[[Transaction], object] = decide_on) -> None:
                do(transaction)

            tasks.append(asyncio.create_task(one.transact(scope, call)))
        yield tasks
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in stores:
            await one.__aexit__()
