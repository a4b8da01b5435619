"""Locking and reading what a transaction's decisions need."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg

from command_svc.domain.batch import Scope
from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.reservations import Line, Reservation
from command_svc.domain.sourcing import Site
from command_svc.domain.transaction import Record, Transaction
from command_svc.store import statements

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Cursor = psycopg.AsyncCursor[tuple[Any, ...]]


async def read(connection: Connection, scope: Scope) -> Transaction:
    """Lock the levels of `scope` and read all of it, on a connection in pipeline mode.

    One round trip; a second one if a level has no row yet or the catalogue is to grow.
    """
    levels = await _lock(connection, scope)
    reservations = None
    if scope.reservation_ids or scope.taken_skus:
        reservations = await _execute(
            connection, statements.READ_RESERVATIONS, list(scope.reservation_ids), list(scope.taken_skus)
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
    if reservations is not None:
        for row in await reservations.fetchall():
            _take_reservation(transaction, _reservation(row))
    transaction.answered = {row[0]: Record(row[1], row[2]) for row in await requests.fetchall()}

    # The items and locations of existing levels exist, so only those of new ones are looked up.
    new = scope.levels - transaction.levels.keys()
    skus = scope.skus.union(scope.sourced_skus, (key.sku for key in new))
    location_ids = scope.location_ids.union(key.location_id for key in new)
    if skus or location_ids:
        items = await _execute(connection, statements.READ_ITEMS, list(skus))
        locations = await _execute(connection, statements.READ_LOCATIONS, list(location_ids))
        transaction.kinds = dict(await items.fetchall())
        transaction.location_ids = {row[0] for row in await locations.fetchall()}
    if scope.sourced_skus:
        sites = await _execute(connection, statements.READ_SITES, list(scope.sourced_skus))
        transaction.sites = {row[0]: _site(row) for row in await sites.fetchall()}
    return transaction


async def _lock(connection: Connection, scope: Scope) -> Cursor:
    keys = list(scope.levels)
    skus, location_ids = [key.sku for key in keys], [key.location_id for key in keys]
    if not (scope.reservation_ids or scope.taken_skus):
        return await _execute(connection, statements.LOCK_LEVELS, skus, location_ids)
    return await _execute(
        connection,
        statements.LOCK_LEVELS_AND_HOLDS,
        list(scope.taken_skus),
        skus,
        location_ids,
        list(scope.sourced_skus),
        list(scope.reservation_ids),
    )


def _take_reservation(transaction: Transaction, reservation: Reservation) -> None:
    # One that expired after the levels were chosen is left for the next transaction, or the sweeper.
    if all(line.key in transaction.levels for line in reservation.lines):
        transaction.reservations[reservation.reservation_id] = reservation


def _reservation(row: tuple[Any, ...]) -> Reservation:
    reservation_id, state, skus, location_ids, quantities, confirmed, released, *rest = row
    lines = zip(skus, location_ids, quantities, confirmed, released, strict=True)
    return Reservation(
        reservation_id,
        state,
        tuple(Line(LevelKey(sku, location_id), *units) for sku, location_id, *units in lines),
        *rest,
    )


def _site(row: tuple[Any, ...]) -> Site:
    location_id, priority, latitude, longitude = row
    return Site(location_id, priority, None if latitude is None else (latitude, longitude))


async def _execute(connection: Connection, statement: str, *parameters: object) -> Cursor:
    return await connection.execute(statement, parameters, prepare=True, binary=True)
