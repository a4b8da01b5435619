"""The decisions about stock: how much is where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from command_svc.domain.levels import MAX_QUANTITY, Level, LevelKey, Quantities
from command_svc.domain.refusals import (
    BackordersOutstandingError,
    InsufficientStockError,
    QuantityOutOfRangeError,
    VersionMismatchError,
)
from command_svc.domain.reservations import free_expired
from command_svc.domain.transaction import Cause, Transaction


@dataclass(frozen=True, slots=True)
class AddStock:
    """Add `quantity` > 0 units that have arrived."""

    key: LevelKey
    quantity: int
    reason: str
    reference: str = ""
    occur_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class RemoveStock:
    """Remove `quantity` > 0 available units."""

    key: LevelKey
    quantity: int
    reason: str
    reference: str = ""
    occur_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class AdjustStock:
    """Correct a level: to `counted` units if given, else by `delta`."""

    key: LevelKey
    reason: str
    counted: int | None = None
    delta: int = 0
    expected_version: int | None = None
    reference: str = ""
    occur_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class MoveStock:
    """Move `quantity` > 0 available units of an item between two different locations."""

    source: LevelKey
    destination: LevelKey
    quantity: int
    reason: str
    reference: str = ""
    occur_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class SetStockPolicy:
    """Set how a level is kept; what is None stays."""

    key: LevelKey
    reorder_point: int | None = None
    safety_stock: int | None = None
    backorder_limit: int | None = None
    expected_version: int | None = None


def add_stock(transaction: Transaction, command: AddStock, cause: Cause) -> Level:
    """Return the level after it; raises the refusals of `Transaction.level` and QuantityOutOfRangeError."""
    level = transaction.level(command.key)
    _check_room(level, command.quantity)
    return _enter(transaction, level, command.quantity, "ADD", command, cause)


def remove_stock(transaction: Transaction, command: RemoveStock, cause: Cause) -> Level:
    """Return the level after it; raises the refusals of `Transaction.level` and InsufficientStockError."""
    level = _with_available(transaction, command.key, command.quantity)
    return _enter(transaction, level, -command.quantity, "REMOVE", command, cause)


def adjust_stock(transaction: Transaction, command: AdjustStock, cause: Cause) -> Level:
    """Return the level after it.

    Raises the refusals of `Transaction.level`, VersionMismatchError, InsufficientStockError (below what
    is reserved, or below zero) and QuantityOutOfRangeError.
    """
    level = transaction.level(command.key)
    _check_version(level, command.expected_version)
    delta = command.delta if command.counted is None else command.counted - level.on_hand
    if delta < 0:
        level = _with_available(transaction, command.key, -delta)
    else:
        _check_room(level, delta)
    return _enter(transaction, level, delta, "ADJUST", command, cause)


def move_stock(transaction: Transaction, command: MoveStock, cause: Cause) -> tuple[Level, Level]:
    """Return source and destination after it; both change or neither.

    Raises the refusals of `Transaction.level`, InsufficientStockError and QuantityOutOfRangeError.
    """
    transaction.level(command.destination)  # must exist, whatever the source holds
    source = _with_available(transaction, command.source, command.quantity)
    destination = transaction.level(command.destination)
    _check_room(destination, command.quantity)
    return (
        _enter(transaction, source, -command.quantity, "MOVE_OUT", command, cause),
        _enter(transaction, destination, command.quantity, "MOVE_IN", command, cause),
    )


def set_stock_policy(transaction: Transaction, command: SetStockPolicy, cause: Cause) -> Level:
    """Return the level after it.

    Raises the refusals of `Transaction.level`, VersionMismatchError and BackordersOutstandingError.
    """
    level = transaction.level(command.key)
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
    return transaction.enter(result, Quantities(), "SET_POLICY", "POLICY", cause)


def _with_available(transaction: Transaction, key: LevelKey, requested: int) -> Level:
    """Return the level once `requested` units of it are available, freeing expired holds if need be."""
    level = transaction.level(key)
    if requested > level.available:
        free_expired(transaction, [key])
        level = transaction.level(key)
    if requested > level.available:
        raise InsufficientStockError(key, requested, level.available)
    return level


def _check_version(level: Level, expected: int | None) -> None:
    if expected is not None and expected != level.version:
        raise VersionMismatchError(level.key, expected, level.version)


def _check_room(level: Level, requested: int) -> None:
    if level.on_hand + requested > MAX_QUANTITY:
        raise QuantityOutOfRangeError(level.key, requested, level.on_hand)


def _enter(  # noqa: PLR0913, PLR0917 - an entry has this many facts
    transaction: Transaction,
    level: Level,
    on_hand: int,
    kind: str,
    command: AddStock | RemoveStock | AdjustStock | MoveStock,
    cause: Cause,
) -> Level:
    delta = Quantities(on_hand=on_hand)
    return transaction.move(level, delta, kind, command.reason, cause, command.reference, command.occur_time)
