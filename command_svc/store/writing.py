"""What a decided transaction leaves behind, as parameters of the statements that write it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from command_svc.domain.levels import Level
from command_svc.domain.lot import Lot
from command_svc.domain.transaction import Rows, Transaction
from command_svc.store import rows, writes

Statement = tuple[str, Sequence[Any]]
V = TypeVar("V")


def effects(transaction: Transaction, payloads: Sequence[bytes]) -> Iterator[Statement]:
    """Yield the statements that write the transaction's effects, records, audit entries and journal.

    Every transaction keeps their order, so that no two of them wait for each other in a circle.
    """
    yield from _catalogue(transaction.items, writes.INSERT_ITEMS, writes.UPDATE_ITEMS, rows.item_json)
    yield from _catalogue(
        transaction.locations, writes.INSERT_LOCATIONS, writes.UPDATE_LOCATIONS, rows.location_json
    )
    if transaction.movements:
        yield from _levels(transaction)
        yield writes.INSERT_MOVEMENTS, _movements(transaction)
    yield from _rows(transaction.lots, writes.INSERT_LOTS, writes.UPDATE_LOTS, _lot_columns)
    yield from _rows(transaction.serials, writes.INSERT_SERIALS, writes.UPDATE_SERIALS, list)
    yield from _rows(
        transaction.reservations,
        writes.INSERT_RESERVATIONS,
        writes.UPDATE_RESERVATIONS,
        rows.reservation_columns,
    )
    yield from _rows(transaction.orders, writes.INSERT_ORDERS, writes.UPDATE_ORDERS, rows.order_columns)
    yield from _rows(
        transaction.transfers, writes.INSERT_TRANSFERS, writes.UPDATE_TRANSFERS, rows.transfer_columns
    )
    if transaction.records:
        yield writes.INSERT_REQUESTS, _records(transaction)
        yield writes.INSERT_AUDIT, _entries(transaction)
    parts = range(1, len(payloads) + 1)
    yield (
        writes.INSERT_JOURNAL,
        [transaction.id, len(payloads), transaction.now, list(parts), list(payloads)],
    )


def _catalogue(
    table: Rows[str, V], insert: str, update: str, to_json: Callable[[V], dict[str, Any]]
) -> Iterator[Statement]:
    created, updated = _apart(table)
    if created:
        yield insert, [_json(map(to_json, created))]
    if updated:
        yield update, [_json(map(to_json, updated))]


def _rows(
    table: Rows[Any, V], insert: str, update: str, columns: Callable[[V], list[Any]]
) -> Iterator[Statement]:
    created, updated = _apart(table)
    if created:
        # Sorted by their keys for the same reason as created levels.
        yield insert, _turned(sorted(map(columns, created)))
    if updated:
        yield update, _turned(map(columns, updated))


def _apart(table: Rows[Any, V]) -> tuple[list[V], list[V]]:
    """Return the rows that are new, and those that have changed."""
    created: list[V] = []
    updated: list[V] = []
    for before, after in table.changed():
        (created if before is None else updated).append(after)
    return created, updated


def _levels(transaction: Transaction) -> Iterator[Statement]:
    created, updated = _apart(transaction.levels)
    if created:
        # Sorted, so that two transactions that create the same levels meet at the first of them.
        created.sort()
        flags = [level.lot_tracked for level in created]
        yield writes.INSERT_LEVELS, [*_columns(created), flags]
    if updated:
        yield writes.UPDATE_LEVELS, _columns(updated)


def _columns(levels: Sequence[Level]) -> list[list[Any]]:
    return [
        [level.key.sku for level in levels],
        [level.key.location_id for level in levels],
        [level.on_hand for level in levels],
        [level.reserved for level in levels],
        [level.backordered for level in levels],
        [level.in_transit for level in levels],
        [level.safety_stock for level in levels],
        [level.reorder_point for level in levels],
        [level.backorder_limit for level in levels],
        [level.version for level in levels],
        [level.update_time for level in levels],
    ]


def _movements(transaction: Transaction) -> list[Any]:
    movements = transaction.movements
    return [
        [m.level.key.sku for m in movements],
        [m.level.key.location_id for m in movements],
        [m.level.version for m in movements],
        [m.why.kind for m in movements],
        [m.why.reason for m in movements],
        [m.delta.on_hand for m in movements],
        [m.delta.reserved for m in movements],
        [m.delta.backordered for m in movements],
        [m.delta.in_transit for m in movements],
        [m.level.on_hand for m in movements],
        [m.level.reserved for m in movements],
        [m.level.backordered for m in movements],
        [m.level.in_transit for m in movements],
        [m.why.cause.actor for m in movements],
        [m.why.reference for m in movements],
        [m.why.cause.request_id for m in movements],
        [m.lot_id for m in movements],
        [m.why.supplier for m in movements],
        [m.occur_time for m in movements],
        transaction.id,
        transaction.now,
    ]


def _lot_columns(lot: Lot) -> list[Any]:
    return [
        *lot.key,
        lot.expiry_date,
        lot.on_hand,
        lot.reserved,
        lot.serials,
        lot.version,
        lot.create_time,
        lot.update_time,
    ]


def _records(transaction: Transaction) -> list[Any]:
    # Sorted for the same reason as created levels.
    records = sorted(transaction.records.items())
    return [
        [request_id for request_id, _ in records],
        [record.fingerprint for _, record in records],
        [record.response for _, record in records],
        transaction.id,
        transaction.now,
        transaction.now.date(),
    ]


def _entries(transaction: Transaction) -> list[Any]:
    accepted = transaction.accepted
    trails = [one.trail for one in accepted]
    return [
        [one.request_id for one in accepted],
        [one.actor for one in accepted],
        [trail.method for trail in trails],
        [trail.proof for trail in trails],
        [trail.source for trail in trails],
        [trail.trace_id for trail in trails],
        [rows.texts(trail.skus) for trail in trails],
        [rows.texts(trail.location_ids) for trail in trails],
        transaction.id,
        transaction.now,
        transaction.now.date(),
    ]


def _turned(table: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Return rows as columns."""
    return [list(column) for column in zip(*table, strict=True)]


def _json(table: Iterable[dict[str, Any]]) -> str:
    # Times are the only values that JSON does not know.
    return json.dumps(list(table), default=lambda value: value.isoformat())
