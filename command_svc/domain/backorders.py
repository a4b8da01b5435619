"""Giving units that have become available to those who wait for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from command_svc.domain import lots
from command_svc.domain.levels import Cause, Level, Quantities, Why
from command_svc.domain.lot import LotKey
from command_svc.domain.promises import Allocation, Order

if TYPE_CHECKING:
    from command_svc.domain.transaction import Transaction


def fill(transaction: Transaction, level: Level, lot_id: str, came: int, cause: Cause) -> Level:
    """Give up to `came` units, of the lot if one is named, to the orders that wait at the level.

    The oldest order gets all it waits for, then the next. Units of a lot that has expired go to nobody.
    Returns the level after it.
    """
    key = level.key
    if lot_id and transaction.lots[LotKey(*key, lot_id)].has_expired(transaction.now.date()):
        return level
    waiting = [order for order in transaction.orders.values() if order.waits_at(key)]
    left = min(came, level.available)
    for order in sorted(waiting, key=lambda order: (order.create_time, order.order_id)):
        if left <= 0:
            break
        given = min(left, order.waits_at(key))
        left -= given
        changed = replace(
            order,
            allocations=_given(order, level, lot_id, given),
            version=order.version + 1,
            update_time=transaction.now,
        )
        transaction.put(transaction.orders, order.order_id, changed)
        if lot_id:
            lots.change(transaction, LotKey(*key, lot_id), 0, given)
        delta = Quantities(reserved=given, backordered=-given)
        why = Why("FILL_BACKORDER", "ORDER", cause, str(order.order_id))
        level = transaction.enter(level.changed(delta, transaction.now), delta, why, lot_id)
    return level


def _given(order: Order, level: Level, lot_id: str, units: int) -> tuple[Allocation, ...]:
    """Return the order's allocations with `units` that it waited for at the level lying ready in a lot."""
    allocations: list[Allocation] = []
    for one in order.allocations:
        taken = min(units, one.backordered) if one.key == level.key else 0
        units -= taken
        if taken and one.lot_id != lot_id:
            # What waited had no lot yet: it leaves for the allocation of the lot.
            one = one._replace(quantity=one.quantity - taken)  # noqa: PLW2901
            allocations.append(Allocation(level.key, taken, lot_id=lot_id))
        if one.quantity:
            allocations.append(one._replace(backordered=one.backordered - taken))
    return merged(allocations)


def merged(allocations: list[Allocation]) -> tuple[Allocation, ...]:
    """Return the allocations with one for each lot of each level, in the order of their first."""
    by_lot: dict[tuple[object, str], Allocation] = {}
    for one in allocations:
        before = by_lot.get((one.key, one.lot_id))
        by_lot[one.key, one.lot_id] = one if before is None else _sum(before, one)
    return tuple(by_lot.values())


def _sum(one: Allocation, other: Allocation) -> Allocation:
    return Allocation(
        one.key,
        one.quantity + other.quantity,
        one.backordered + other.backordered,
        one.shipped + other.shipped,
        one.cancelled + other.cancelled,
        one.returned + other.returned,
        one.lot_id,
    )
