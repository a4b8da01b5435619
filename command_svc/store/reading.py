"""Locking and reading what a transaction's decisions need."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg

from command_svc.domain.batch import Scope
from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.transaction import Record, Transaction
from command_svc.store import statements

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Cursor = psycopg.AsyncCursor[tuple[Any, ...]]


async def read(connection: Connection, scope: Scope) -> Transaction:
    """Lock the levels of `scope` and read all of it, on a connection in pipeline mode.

    One round trip; a second one if a level has no row yet or the catalogue is to grow.
    """
    keys = list(scope.levels)
    levels = await _execute(
        connection, statements.LOCK_LEVELS, [key.sku for key in keys], [key.location_id for key in keys]
    )
    # Two days of slack cover clocks that differ; the exact end of a record's life does not matter.
    today = datetime.now(UTC).date()
    requests = await _execute(connection, statements.READ_REQUESTS, list(scope.request_ids), today, today)
    clock = await _execute(connection, statements.READ_CLOCK)

    ((now, transaction_id),) = await clock.fetchall()
    transaction = Transaction(id=transaction_id, now=now)
    for row in await levels.fetchall():
        key = LevelKey(row[0], row[1])
        transaction.levels[key] = Level(key, *row[2:])
    transaction.answered = {row[0]: Record(row[1], row[2]) for row in await requests.fetchall()}

    # The items and locations of existing levels exist, so only those of new ones are looked up.
    new = scope.levels - transaction.levels.keys()
    skus = scope.skus.union(key.sku for key in new)
    location_ids = scope.location_ids.union(key.location_id for key in new)
    if skus or location_ids:
        items = await _execute(connection, statements.READ_ITEMS, list(skus))
        locations = await _execute(connection, statements.READ_LOCATIONS, list(location_ids))
        transaction.kinds = dict(await items.fetchall())
        transaction.location_ids = {row[0] for row in await locations.fetchall()}
    return transaction


async def _execute(connection: Connection, statement: str, *parameters: object) -> Cursor:
    return await connection.execute(statement, parameters, prepare=True, binary=True)
