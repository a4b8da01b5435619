"""Locking and reading what a transaction's decisions need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.lot import Lot, LotKey, Serial
from command_svc.domain.promises import PENDING
from command_svc.domain.scope import Scope
from command_svc.domain.transaction import Record, Transaction
from command_svc.store import rows, statements
from command_svc.store.errors import ConflictError

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Cursor = psycopg.AsyncCursor[tuple[Any, ...]]
Cursors = dict[str, Cursor]
Found = Sequence[tuple[Any, ...]]


async def set_timeout(connection: Connection, seconds: float) -> None:
    """Bound every statement of the transaction; in pipeline mode, this costs no round trip."""
    # 0 would mean no bound at all.
    await _execute(connection, statements.SET_TIMEOUT, f"{max(1, int(seconds * 1000))}ms")


async def read(connection: Connection, scope: Scope) -> Transaction:
    """Lock the levels of `scope` and read all of it, on a connection in pipeline mode.

    One round trip; a second one if a level has no row yet, has lots, or has somebody waiting for it. Raises
    ConflictError when an item that may be archived has got a level meanwhile.
    """
    levels = await _lock(connection, scope)
    cursors = await _read_scope(connection, scope)
    # Two days of slack cover clocks that differ; the exact end of a record's life does not matter.
    today = datetime.now(UTC).date()
    requests = await _execute(connection, statements.READ_REQUESTS, list(scope.requests), today, today)
    clock = await _execute(connection, statements.READ_CLOCK, *_names(scope))

    ((now, transaction_id, installation_id, archived, inactive),) = await clock.fetchall()
    transaction = Transaction(
        id=transaction_id,
        now=now,
        installation_id=installation_id,
        archived=set(archived),
        inactive=set(inactive),
        reach=set(scope.levels),
    )
    for row in await levels.fetchall():
        key = LevelKey(row[0], row[1])
        transaction.levels[key] = Level(key, *row[2:])
    await _take(transaction, cursors)
    transaction.answered = {row[0]: Record(row[1], row[2]) for row in await requests.fetchall()}
    for bundle in scope.bundles:
        if (facts := transaction.facts.get(bundle.sku)) is not None:
            transaction.reach.update(LevelKey(sku, bundle.location_id) for sku, _ in facts.components)
    await _take(transaction, await _read_what_levels_need(connection, scope, transaction))
    return transaction


def _names(scope: Scope) -> tuple[list[str], list[str]]:
    """Return the items and locations that may take something new."""
    return (
        list({*(key.sku for key in scope.levels), *scope.everywhere, *scope.facts}),
        list({*(key.location_id for key in scope.levels), *(key.location_id for key in scope.bundles)}),
    )


async def _lock(connection: Connection, scope: Scope) -> Cursor:
    skus, location_ids = _columns(scope.levels)
    if not (scope.reservations or scope.taken or scope.orders or scope.transfers or scope.everywhere):
        return await _execute(connection, statements.LOCK_LEVELS, skus, location_ids)
    taken, everywhere = list(scope.taken), list(scope.everywhere)
    return await _execute(
        connection,
        statements.LOCK_SCOPE,
        taken,
        taken,
        skus,
        location_ids,
        everywhere,
        everywhere,
        *_columns(scope.bundles),
        list(scope.reservations),
        list(scope.orders),
        list(scope.transfers),
    )


async def _read_scope(connection: Connection, scope: Scope) -> Cursors:
    """Read what is known beforehand to be needed, under the locks of the levels."""
    cursors: Cursors = {}

    async def fetch(kind: str, statement: str, *parameters: object) -> None:
        cursors[kind] = await _execute(connection, statement, *parameters)

    if scope.reservations or scope.taken:
        taken = list(scope.taken)
        await fetch("reservations", statements.READ_RESERVATIONS, list(scope.reservations), taken, taken)
    if scope.orders:
        await fetch("orders", statements.READ_ORDERS, list(scope.orders))
    if scope.transfers:
        await fetch("transfers", statements.READ_TRANSFERS, list(scope.transfers))
    if scope.facts:
        facts = list(scope.facts)
        await fetch("facts", statements.READ_FACTS, facts, facts)
    if scope.everywhere:
        skus, places = list(scope.everywhere), [key.location_id for key in scope.levels]
        await fetch("sites", statements.READ_SITES, places, skus, skus)
    if scope.items:
        # With those that levels may come into being of: locked later, they would be out of order.
        await fetch("items", statements.READ_ITEMS, list(scope.items | {key.sku for key in scope.levels}))
    if archiving := scope.items & scope.everywhere:
        await fetch("keys", statements.READ_LEVEL_KEYS, list(archiving))
    if scope.locations:
        await fetch("locations", statements.READ_LOCATIONS, list(scope.locations))
    return cursors


async def _read_what_levels_need(connection: Connection, scope: Scope, transaction: Transaction) -> Cursors:
    """Read what is known to be needed only once the levels have been seen."""
    cursors: Cursors = {}
    # The items and locations of existing levels exist, so only those of new ones are looked up.
    new = transaction.reach - transaction.levels.keys()
    if new:
        skus, location_ids = ([*set(names)] for names in _columns(new))
        cursors["facts"] = await _execute(connection, statements.READ_NEW_FACTS, skus, skus)
        cursors["places"] = await _execute(connection, statements.READ_LOCATION_IDS, location_ids)
    waited = [f"{key.sku} {key.location_id}" for key, one in transaction.levels.items() if one.backordered]
    if waited:
        cursors["orders"] = await _execute(connection, statements.READ_WAITING_ORDERS, waited)
    in_lots = [key for key, level in transaction.levels.items() if level.lot_tracked]
    if in_lots:
        named = list({*scope.lots, *_lots_of_promises(transaction)})
        cursors["lots"] = await _execute(connection, statements.READ_LOTS, *_columns(in_lots), named)
    if serials := list(scope.serials | _serials_under_way(transaction)):
        skus, numbers = [sku for sku, _ in serials], [number for _, number in serials]
        cursors["serials"] = await _execute(connection, statements.READ_SERIALS, skus, numbers)
    return cursors


async def _take(transaction: Transaction, cursors: Cursors) -> None:
    for kind, cursor in cursors.items():
        _TAKERS[kind](transaction, await cursor.fetchall())


def _take_reservations(transaction: Transaction, found: Found) -> None:
    """Take what was found; of too many expired ones, only those that may be freed here.

    One that was made while the levels were waited for, and has expired since, may keep others: it is taken,
    and who needs what it keeps decides again. What is beyond a bounded number is left to the next
    transaction, or the sweeper.
    """
    reservations = [rows.reservation(row) for row in found]
    expired = sum(one.state == PENDING and one.is_expired(transaction.now) for one in reservations)
    for one in reservations:
        locked = all(line.key in transaction.levels for line in one.lines)
        if locked or expired <= statements.MOST_OVERDUE:
            transaction.reservations[one.reservation_id] = one


def _take_orders(transaction: Transaction, found: Found) -> None:
    transaction.orders.update((order.order_id, order) for order in map(rows.order, found))


def _take_transfers(transaction: Transaction, found: Found) -> None:
    transaction.transfers.update((one.transfer_id, one) for one in map(rows.transfer, found))


def _take_facts(transaction: Transaction, found: Found) -> None:
    transaction.facts.update((row[0], rows.facts(row)) for row in found)
    transaction.archived.update(row[0] for row in found if row[-1])


def _take_sites(transaction: Transaction, found: Found) -> None:
    transaction.sites = {row[0]: rows.site(row) for row in found}


def _take_items(transaction: Transaction, found: Found) -> None:
    transaction.items.update((item.sku, item) for item in map(rows.item, found))
    transaction.facts.update((item.sku, item.facts) for item in transaction.items.values())


def _check_keys(transaction: Transaction, found: Found) -> None:
    if any(LevelKey(*row) not in transaction.levels for row in found):
        raise ConflictError(ConflictError.__doc__)


def _take_locations(transaction: Transaction, found: Found) -> None:
    transaction.locations.update((one.location_id, one) for one in map(rows.location, found))
    transaction.location_ids.update(transaction.locations)


def _take_places(transaction: Transaction, found: Found) -> None:
    transaction.location_ids.update(row[0] for row in found)


def _take_lots(transaction: Transaction, found: Found) -> None:
    for sku, location_id, lot_id, *rest in found:
        key = LotKey(sku, location_id, lot_id)
        transaction.lots[key] = Lot(key, *rest)


def _take_serials(transaction: Transaction, found: Found) -> None:
    transaction.serials.update(((row[0], row[1]), Serial(*row)) for row in found)


_TAKERS: dict[str, Callable[[Transaction, Found], None]] = {
    "facts": _take_facts,
    "items": _take_items,
    "keys": _check_keys,
    "locations": _take_locations,
    "lots": _take_lots,
    "orders": _take_orders,
    "places": _take_places,
    "reservations": _take_reservations,
    "serials": _take_serials,
    "sites": _take_sites,
    "transfers": _take_transfers,
}


def _lots_of_promises(transaction: Transaction) -> set[str]:
    lots = {line.lot_id for one in transaction.reservations.values() for line in one.lines}
    lots |= {line.lot_id for one in transaction.orders.values() for line in one.allocations}
    lots |= {line.lot_id for one in transaction.transfers.values() for line in one.lines}
    return lots - {""}


def _serials_under_way(transaction: Transaction) -> set[tuple[str, str]]:
    return {
        (line.sku, number)
        for transfer in transaction.transfers.values()
        for line in transfer.lines
        for number in line.serials
    }


def _columns(keys: Iterable[LevelKey]) -> tuple[list[str], list[str]]:
    given = list(keys)
    return [key.sku for key in given], [key.location_id for key in given]


async def _execute(connection: Connection, statement: str, *parameters: object) -> Cursor:
    return await connection.execute(statement, parameters, prepare=True, binary=True)
