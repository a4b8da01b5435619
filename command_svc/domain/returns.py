"""Returns: shipped units that come back, into stock or written off at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from command_svc.domain import lots
from command_svc.domain.levels import Cause, Level, LevelKey, Quantities, Why
from command_svc.domain.lot import LotKey, LotReceipt
from command_svc.domain.movements import move
from command_svc.domain.orders import OrderOutcome, changed, levels_of
from command_svc.domain.promises import Order
from command_svc.domain.refusals import ExceedsOrderError, LotNotTrackedError, LotRequiredError

if TYPE_CHECKING:
    from command_svc.domain.transaction import Transaction


class ReturnedUnits(NamedTuple):
    """Shipped units that come back to a level; written off for a reason at once, or back in stock ("")."""

    key: LevelKey
    quantity: int
    lot: LotReceipt | None = None
    write_off_reason: str = ""


@dataclass(frozen=True, slots=True)
class ReturnOrder:
    """Take shipped units back, at least one line."""

    order_id: UUID
    lines: tuple[ReturnedUnits, ...]


def return_order(transaction: Transaction, command: ReturnOrder, cause: Cause) -> OrderOutcome:
    """Take shipped units back, into stock or written off at once.

    Raises OrderNotFoundError, ExceedsOrderError, LotRequiredError (of several lots, each is named) and the
    refusals of `Transaction.open_level` (if written off, of `level`), `movements.move` and `lots.receive`.
    """
    order = transaction.order(command.order_id)
    allocations = list(order.allocations)
    back: list[tuple[ReturnedUnits, str]] = []
    for units in command.lines:
        lot_id = _lot_of(transaction, order, units)
        left = units.quantity
        for index, one in enumerate(allocations):
            matches = (one.key.sku, one.lot_id) == (units.key.sku, lot_id)
            count = min(left, one.shipped - one.returned) if matches else 0
            left -= count
            allocations[index] = one._replace(returned=one.returned + count)
        if left:
            key = LevelKey(units.key.sku, "")
            raise ExceedsOrderError(order.order_id, key, units.quantity, units.quantity - left)
        back.append((units, lot_id))
    order = changed(transaction, order, allocations)
    for units, lot_id in back:
        _take_back(transaction, order, units, lot_id, cause)
    # What came back may be what it waited for: the order as it is now.
    return OrderOutcome(
        transaction.order(order.order_id), levels_of(transaction, (units.key for units, _ in back))
    )


def _lot_of(transaction: Transaction, order: Order, units: ReturnedUnits) -> str:
    """Return the lot of units that come back: the one named, or the only one that was shipped."""
    level = _place_of(transaction, units)
    if units.lot is not None:
        if not level.lot_tracked:
            raise LotNotTrackedError(units.key.sku, units.lot.lot_id)
        return units.lot.lot_id
    shipped = {one.lot_id for one in order.allocations if one.shipped and one.key.sku == units.key.sku}
    if len(shipped) > 1:
        raise LotRequiredError(units.key.sku)
    return shipped.pop() if shipped else ""


def _place_of(transaction: Transaction, units: ReturnedUnits) -> Level:
    """Return the level that units come back to: an open one, unless they are written off at once."""
    place = transaction.level if units.write_off_reason else transaction.open_level
    return place(units.key)


def _take_back(
    transaction: Transaction, order: Order, units: ReturnedUnits, lot_id: str, cause: Cause
) -> None:
    level = _place_of(transaction, units)
    receipt = units.lot
    if lot_id and (receipt is None or receipt.expiry_date is None):
        serials = receipt.serials if receipt else ()
        receipt = LotReceipt(lot_id, _date_of(transaction, order, units.key, lot_id), serials)
    lots.receive(transaction, level, receipt, units.quantity)
    restocked = not units.write_off_reason
    why = Why("RETURN", "RETURN", cause, str(order.order_id))
    delta = Quantities(on_hand=units.quantity)
    move(transaction, units.key, delta, why, lot_id=lot_id, fill=restocked)
    if not restocked:
        # Two entries, so that history tells that it came back and where it went.
        why = Why("WRITE_OFF", units.write_off_reason, cause, str(order.order_id))
        delta = Quantities(on_hand=-units.quantity)
        serials = receipt.serials if receipt else ()
        move(transaction, units.key, delta, why, lot_id=lot_id, serials=serials)


def _date_of(transaction: Transaction, order: Order, key: LevelKey, lot_id: str) -> date | None:
    """Return the date of a lot that comes back: as known where it comes to, or else where it came from."""
    came_from = [one.key for one in order.allocations if one.key.sku == key.sku and one.lot_id == lot_id]
    known = (transaction.lots.get(LotKey(*place, lot_id)) for place in (key, *came_from))
    return next((lot.expiry_date for lot in known if lot is not None), None)
