"""What a decided transaction leaves behind, as parameters of the statements that write it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from command_svc.domain.catalog import Location
from command_svc.domain.levels import Level
from command_svc.domain.reservations import Reservation
from command_svc.domain.transaction import Transaction
from command_svc.store import statements

Statement = tuple[str, Sequence[Any]]


def writes(transaction: Transaction, payloads: Sequence[bytes]) -> Iterator[Statement]:
    """Yield the statements that write the transaction's effects, records and journal.

    Every transaction keeps their order, so that no two of them wait for each other in a circle.
    """
    if transaction.items:
        yield statements.INSERT_ITEMS, [_json(asdict(item) for item in transaction.items)]
    if transaction.locations:
        yield statements.INSERT_LOCATIONS, [_json(_location(location) for location in transaction.locations)]
    if transaction.movements:
        yield from _levels(transaction)
        yield statements.INSERT_MOVEMENTS, _movements(transaction)
    yield from _reservations(transaction)
    if transaction.records:
        yield statements.INSERT_REQUESTS, _records(transaction)
    parts = range(1, len(payloads) + 1)
    yield (
        statements.INSERT_JOURNAL,
        [transaction.id, len(payloads), transaction.now, list(parts), list(payloads)],
    )


def _levels(transaction: Transaction) -> Iterator[Statement]:
    created: list[Level] = []
    updated: list[Level] = []
    for before, after in transaction.changed_levels():
        (updated if before.version else created).append(after)
    if created:
        # Sorted, so that two transactions that create the same levels meet at the first of them.
        yield statements.INSERT_LEVELS, _columns(sorted(created))
    if updated:
        yield statements.UPDATE_LEVELS, _columns(updated)


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
        [m.kind for m in movements],
        [m.reason for m in movements],
        [m.delta.on_hand for m in movements],
        [m.delta.reserved for m in movements],
        [m.delta.backordered for m in movements],
        [m.delta.in_transit for m in movements],
        [m.level.on_hand for m in movements],
        [m.level.reserved for m in movements],
        [m.level.backordered for m in movements],
        [m.level.in_transit for m in movements],
        [m.actor for m in movements],
        [m.reference for m in movements],
        [m.request_id for m in movements],
        [m.occur_time for m in movements],
        transaction.id,
        transaction.now,
    ]


def _reservations(transaction: Transaction) -> Iterator[Statement]:
    created: list[Reservation] = []
    updated: list[Reservation] = []
    for before, after in transaction.changed_reservations():
        (updated if before else created).append(after)
    if created:
        yield (
            statements.INSERT_RESERVATIONS,
            [
                [r.reservation_id for r in created],
                [r.state for r in created],
                [_text_array([line.key.sku for line in r.lines]) for r in created],
                [_text_array([line.key.location_id for line in r.lines]) for r in created],
                [_array([line.quantity for line in r.lines]) for r in created],
                [_array([line.confirmed for line in r.lines]) for r in created],
                [_array([line.released for line in r.lines]) for r in created],
                [r.expire_time for r in created],
                [r.channel for r in created],
                [r.reference for r in created],
                [r.actor for r in created],
                [r.version for r in created],
                [r.create_time for r in created],
                [r.update_time for r in created],
            ],
        )
    if updated:
        yield (
            statements.UPDATE_RESERVATIONS,
            [
                [r.reservation_id for r in updated],
                [r.state for r in updated],
                [_array([line.confirmed for line in r.lines]) for r in updated],
                [_array([line.released for line in r.lines]) for r in updated],
                [r.expire_time for r in updated],
                [r.version for r in updated],
                [r.update_time for r in updated],
            ],
        )


def _array(values: Iterable[int]) -> str:
    """Return an array of numbers as PostgreSQL writes it."""
    return "{" + ",".join(map(str, values)) + "}"


def _text_array(values: Iterable[str]) -> str:
    """Return an array of ids as PostgreSQL writes it; ids hold neither quotes nor backslashes."""
    return '{"' + '","'.join(values) + '"}'


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


def _location(location: Location) -> dict[str, Any]:
    row = asdict(location)
    row["latitude"], row["longitude"] = row.pop("coordinates") or (None, None)
    return row


def _json(rows: Iterable[dict[str, Any]]) -> str:
    # Times are the only values that JSON does not know.
    return json.dumps(list(rows), default=lambda value: value.isoformat())
