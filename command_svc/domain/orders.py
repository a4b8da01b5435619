"""Orders: placed on the stock there is or will be, shipped in parts, cancelled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from command_svc.domain import lots
from command_svc.domain.allocation import Terms, WantedLine, find, keys_of
from command_svc.domain.backorders import merged
from command_svc.domain.levels import Cause, Level, LevelKey, Quantities, Why
from command_svc.domain.movements import move
from command_svc.domain.promises import CANCELLED, FULFILLED, OPEN, Allocation, Order, OrderLine
from command_svc.domain.refusals import (
    ExceedsOrderError,
    InsufficientStockError,
    ItemArchivedError,
    OrderClosedError,
)
from command_svc.domain.reservations import free_expired
from command_svc.domain.sourcing import Candidate

if TYPE_CHECKING:
    from command_svc.domain.transaction import Transaction

REASON = "ORDER"


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Order `lines`, at least one."""

    lines: tuple[WantedLine, ...]
    terms: Terms
    channel: str = ""
    reference: str = ""


class OrderedUnits(NamedTuple):
    """Units of an order at a level: of one lot, or any; `serials` name each of them, or none."""

    key: LevelKey
    quantity: int
    lot_id: str = ""
    serials: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FulfillOrder:
    """Ship `lines`, or all that lies ready when empty."""

    order_id: UUID
    lines: tuple[OrderedUnits, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Give up `lines`, or all that has not been shipped when empty."""

    order_id: UUID
    lines: tuple[OrderedUnits, ...] = ()


class OrderOutcome(NamedTuple):
    """An order as a command left it, the levels that it changed, and why they were chosen."""

    order: Order
    levels: tuple[Level, ...]
    candidates: tuple[Candidate, ...] = ()


def place_order(transaction: Transaction, command: PlaceOrder, cause: Cause) -> OrderOutcome:
    """Promise the lines' units, freeing expired holds that are in the way before anything waits.

    Goods that are not counted need nothing. Raises the refusals of `allocation.find`.
    """
    counted = []
    for line in command.lines:
        if line.sku in transaction.archived:
            raise ItemArchivedError(line.sku)
        if transaction.fact(line.sku).recipe(line.sku):
            counted.append(line)
    try:
        found = find(transaction, counted, command.terms._replace(backorder=False)) if counted else None
    except InsufficientStockError:
        free_expired(transaction, keys_of(transaction, counted))
        found = find(transaction, counted, command.terms)
    ready = found.ready if found else {}
    waiting = found.backordered if found else {}
    allocations = [Allocation(key, units, lot_id=lot_id) for (key, lot_id), units in ready.items()]
    allocations += [Allocation(key, units, backordered=units) for key, units in waiting.items()]
    order = Order(
        order_id=transaction.new_id(),
        state=OPEN if allocations else FULFILLED,
        lines=tuple(OrderLine(line.sku, line.quantity) for line in command.lines),
        allocations=merged(sorted(allocations, key=lambda one: (one.key, one.lot_id))),
        channel=command.channel,
        reference=command.reference,
        actor=cause.actor,
        version=1,
        create_time=transaction.now,
        update_time=transaction.now,
    )
    transaction.put(transaction.orders, order.order_id, order)
    for one in order.allocations:
        if one.reserved:
            delta = Quantities(reserved=one.reserved)
            move(transaction, one.key, delta, _why("RESERVE", order, cause), lot_id=one.lot_id)
        if one.backordered:
            delta = Quantities(backordered=one.backordered)
            move(transaction, one.key, delta, _why("BACKORDER", order, cause))
    keys = (one.key for one in order.allocations)
    return OrderOutcome(order, levels_of(transaction, keys), tuple(found.candidates) if found else ())


def fulfill_order(transaction: Transaction, command: FulfillOrder, cause: Cause) -> OrderOutcome:
    """Ship units that lie ready, of several lots the first to expire.

    Raises OrderNotFoundError, OrderClosedError, ExceedsOrderError and the refusals of `lots.change`.
    """
    order = _open(transaction, command.order_id)
    ready = [one for one in order.allocations if one.reserved]
    wanted = command.lines or tuple(OrderedUnits(one.key, one.reserved, one.lot_id) for one in ready)
    if not wanted:
        waits = next(one for one in order.allocations if one.open)
        raise ExceedsOrderError(order.order_id, waits.key, waits.open, 0)
    allocations = list(order.allocations)
    shipped: list[tuple[Allocation, int, tuple[str, ...]]] = []
    for units in wanted:
        left, serials = units.quantity, units.serials
        for index in lots.in_order(transaction, allocations):
            one = allocations[index]
            count = min(left, one.reserved) if _matches(one, units) else 0
            if count:
                left -= count
                allocations[index] = one._replace(shipped=one.shipped + count)
                shipped.append((one, count, serials[:count]))
                serials = serials[count:]
        if left:
            raise ExceedsOrderError(order.order_id, units.key, units.quantity, units.quantity - left)
    order = changed(transaction, order, allocations)
    for one, count, serials in shipped:
        why = Why("SHIP", "SALE", cause, str(order.order_id))
        delta = Quantities(on_hand=-count, reserved=-count)
        move(transaction, one.key, delta, why, lot_id=one.lot_id, serials=serials)
    return OrderOutcome(order, levels_of(transaction, (one.key for one, _, _ in shipped)))


def cancel_order(transaction: Transaction, command: CancelOrder, cause: Cause) -> OrderOutcome:
    """Give up what has not been shipped; of a level, what still waits goes first.

    Raises OrderNotFoundError, OrderClosedError and ExceedsOrderError.
    """
    order = _open(transaction, command.order_id)
    rest = [one for one in order.allocations if one.open]
    wanted = command.lines or tuple(OrderedUnits(one.key, one.open, one.lot_id) for one in rest)
    allocations = list(order.allocations)
    given_up: list[tuple[Allocation, int, int]] = []
    for units in wanted:
        left = units.quantity
        # Twice over them: first what still waits, then what lies ready.
        for waiting in (True, False):
            for index in lots.in_order(transaction, allocations):
                one = allocations[index]
                there = one.backordered if waiting else one.reserved
                count = min(left, there) if _matches(one, units) else 0
                if count:
                    left -= count
                    backordered = count if waiting else 0
                    allocations[index] = one._replace(
                        cancelled=one.cancelled + count, backordered=one.backordered - backordered
                    )
                    given_up.append((one, count - backordered, backordered))
        if left:
            raise ExceedsOrderError(order.order_id, units.key, units.quantity, units.quantity - left)
    order = changed(transaction, order, allocations)
    for one, ready, backordered in given_up:
        if backordered:
            delta = Quantities(backordered=-backordered)
            move(transaction, one.key, delta, _why("CANCEL_BACKORDER", order, cause))
        if ready:
            delta = Quantities(reserved=-ready)
            move(transaction, one.key, delta, _why("RELEASE", order, cause), lot_id=one.lot_id)
    # What it gave back may be what it waited for: the order as it is now.
    return OrderOutcome(
        transaction.order(order.order_id), levels_of(transaction, (one.key for one, _, _ in given_up))
    )


def _open(transaction: Transaction, order_id: UUID) -> Order:
    order = transaction.order(order_id)
    if order.state != OPEN:
        raise OrderClosedError(order_id, order.state)
    return order


def _matches(one: Allocation, units: OrderedUnits) -> bool:
    return one.key == units.key and units.lot_id in {"", one.lot_id}


def changed(transaction: Transaction, order: Order, allocations: Iterable[Allocation]) -> Order:
    """Enter an order's allocations as they are now; return it, closed if nothing of it is open any more."""
    after = replace(order, allocations=tuple(allocations), version=order.version + 1)
    if order.state == OPEN and not any(one.open for one in after.allocations):
        shipped = any(one.shipped for one in after.allocations)
        after = replace(after, state=FULFILLED if shipped else CANCELLED)
    after = replace(after, update_time=transaction.now)
    transaction.put(transaction.orders, order.order_id, after)
    return after


def _why(kind: str, order: Order, cause: Cause) -> Why:
    return Why(kind, REASON, cause, str(order.order_id))


def levels_of(transaction: Transaction, keys: Iterable[LevelKey]) -> tuple[Level, ...]:
    """Return the levels as decided so far, each once."""
    return tuple(transaction.level(key) for key in dict.fromkeys(keys))
