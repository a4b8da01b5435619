"""The decisions about stock: how much is where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from command_svc.domain import lots
from command_svc.domain.backorders import fill
from command_svc.domain.levels import Cause, Level, LevelKey, Quantities, Why
from command_svc.domain.lot import LotChoice, LotKey, LotReceipt, Part
from command_svc.domain.movements import move
from command_svc.domain.refusals import (
    BackordersOutstandingError,
    InsufficientStockError,
    LotRequiredError,
    VersionMismatchError,
)
from command_svc.domain.reservations import free_expired

if TYPE_CHECKING:
    from command_svc.domain.transaction import Transaction

SALE = "SALE"


@dataclass(frozen=True, slots=True)
class AddStock:
    """Add `quantity` > 0 units that have arrived, of a lot where lots are kept."""

    key: LevelKey
    quantity: int
    reason: str
    reference: str = ""
    occur_time: datetime | None = None
    supplier: str = ""
    lot: LotReceipt | None = None


@dataclass(frozen=True, slots=True)
class RemoveStock:
    """Remove `quantity` > 0 available units: of the lot chosen, or the first to expire."""

    key: LevelKey
    quantity: int
    reason: str
    reference: str = ""
    occur_time: datetime | None = None
    lot: LotChoice | None = None


@dataclass(frozen=True, slots=True)
class AdjustStock:
    """Correct a level, or the lot of it that is named: to `counted` units if given, else by `delta`."""

    key: LevelKey
    reason: str
    counted: int | None = None
    delta: int = 0
    expected_version: int | None = None
    reference: str = ""
    occur_time: datetime | None = None
    lot: LotReceipt | None = None


@dataclass(frozen=True, slots=True)
class MoveStock:
    """Move `quantity` > 0 available units of an item between two different locations."""

    source: LevelKey
    destination: LevelKey
    quantity: int
    reason: str
    reference: str = ""
    occur_time: datetime | None = None
    lot: LotChoice | None = None


@dataclass(frozen=True, slots=True)
class SetStockPolicy:
    """Set how a level is kept; what is None stays."""

    key: LevelKey
    reorder_point: int | None = None
    safety_stock: int | None = None
    backorder_limit: int | None = None
    expected_version: int | None = None


def add_stock(transaction: Transaction, command: AddStock, cause: Cause) -> Level:
    """Return the level after it.

    Raises the refusals of `Transaction.open_level`, `lots.receive` and `movements.move`.
    """
    level = transaction.open_level(command.key)
    lot_id = lots.receive(transaction, level, command.lot, command.quantity)
    why = _why("ADD", command, cause)._replace(supplier=command.supplier)
    return move(transaction, command.key, Quantities(on_hand=command.quantity), why, lot_id=lot_id)


def remove_stock(transaction: Transaction, command: RemoveStock, cause: Cause) -> Level:
    """Return the level after it; raises the refusals of `Transaction.level` and `lots.take`.

    What is sold never comes from an expired lot, unless it is named; what is removed for another reason
    comes from the expired ones first.
    """
    expired = command.reason != SALE
    parts = taken(transaction, command.key, command.quantity, command.lot, expired=expired)
    return _leave(transaction, command.key, parts, _why("REMOVE", command, cause))


def adjust_stock(transaction: Transaction, command: AdjustStock, cause: Cause) -> Level:
    """Return the level after it.

    Raises the refusals of `Transaction.level`, VersionMismatchError, InsufficientStockError (below what
    is reserved, or below zero), those of `movements.move` and, where lots are kept, of `lots`.
    """
    level = transaction.level(command.key)
    _check_version(level, command.expected_version)
    on_hand = level.on_hand
    if level.lot_tracked:
        if command.lot is None:
            raise LotRequiredError(command.key.sku)
        lot = transaction.lots.get(LotKey(*command.key, command.lot.lot_id))
        on_hand = lot.on_hand if lot else 0
    delta = command.delta if command.counted is None else command.counted - on_hand
    why = _why("ADJUST", command, cause)
    if delta < 0:
        choice = LotChoice(command.lot.lot_id, command.lot.serials) if command.lot else None
        parts = taken(transaction, command.key, -delta, choice)
        return _leave(transaction, command.key, parts, why)
    if delta > 0:
        transaction.open_level(command.key)
    lot_id = lots.receive(transaction, level, command.lot, delta)
    return move(transaction, command.key, Quantities(on_hand=delta), why, lot_id=lot_id)


def move_stock(transaction: Transaction, command: MoveStock, cause: Cause) -> tuple[Level, Level]:
    """Return source and destination after it; both change or neither.

    Raises the refusals of `Transaction.level`, at the destination of `Transaction.open_level`, those of
    `lots.take` and QuantityOutOfRangeError.
    """
    transaction.open_level(command.destination)  # must exist, whatever the source holds
    parts = taken(transaction, command.source, command.quantity, command.lot)
    for part in parts:
        units, lot_id = part.units, part.lot_id
        why = _why("MOVE_OUT", command, cause)
        delta = Quantities(on_hand=-units)
        move(transaction, command.source, delta, why, lot_id=lot_id, serials=part.serials)
        receipt = None
        if lot_id:
            moved = transaction.lots[LotKey(*command.source, lot_id)]
            receipt = LotReceipt(lot_id, moved.expiry_date, part.serials)
        destination = transaction.level(command.destination)
        lots.receive(transaction, destination, receipt, units)
        why = _why("MOVE_IN", command, cause)
        move(transaction, command.destination, Quantities(on_hand=units), why, lot_id=lot_id)
    return transaction.level(command.source), transaction.level(command.destination)


def set_stock_policy(transaction: Transaction, command: SetStockPolicy, cause: Cause) -> Level:
    """Return the level after it; safety stock that it sets free goes to the level's backorders first.

    Raises the refusals of `Transaction.open_level`, VersionMismatchError and BackordersOutstandingError.
    """
    level = transaction.open_level(command.key)
    _check_version(level, command.expected_version)
    limit = command.backorder_limit
    if limit is not None and limit < level.backordered:
        raise BackordersOutstandingError(command.key, limit, level.backordered)
    given = {
        name: value
        for name in ("reorder_point", "safety_stock", "backorder_limit")
        if (value := getattr(command, name)) is not None
    }
    result = level.changed(Quantities(), transaction.now)._replace(**given)
    result = transaction.enter(result, Quantities(), Why("SET_POLICY", "POLICY", cause))
    sellable = max(0, lots.free(transaction, result) - result.safety_stock)
    if result.backordered and sellable:
        for part in lots.take(transaction, result, sellable, None):
            result = fill(transaction, result, part.lot_id, part.units, cause)
    return result


def taken(
    transaction: Transaction, key: LevelKey, units: int, lot: LotChoice | None, *, expired: bool = False
) -> list[Part]:
    """Return the lots that available units come from, freeing expired holds if they are in the way.

    Nothing else is moved. Raises the refusals of `Transaction.level` and `lots.take`.
    """
    level = transaction.level(key)
    try:
        return lots.take(transaction, level, units, lot, expired=expired)
    except InsufficientStockError:
        if not free_expired(transaction, [key]):
            raise
        return lots.take(transaction, transaction.level(key), units, lot, expired=expired)


def _leave(transaction: Transaction, key: LevelKey, parts: list[Part], why: Why) -> Level:
    level = transaction.level(key)
    for part in parts:
        delta = Quantities(on_hand=-part.units)
        level = move(transaction, key, delta, why, lot_id=part.lot_id, serials=part.serials)
    return level


def _check_version(level: Level, expected: int | None) -> None:
    if expected is not None and expected != level.version:
        raise VersionMismatchError(
            f"the level of {level.key.sku} at {level.key.location_id}",
            expected,
            level.version,
            **level.key._asdict(),
        )


def _why(kind: str, command: AddStock | RemoveStock | AdjustStock | MoveStock, cause: Cause) -> Why:
    return Why(kind, command.reason, cause, command.reference, command.occur_time)
