"""The decisions about stock: how much is where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from command_svc.domain.levels import MAX_QUANTITY, Level, LevelKey, Quantities
from command_svc.domain.refusals import InsufficientStockError, QuantityOutOfRangeError, VersionMismatchError
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


def add_stock(transaction: Transaction, command: AddStock, cause: Cause) -> Level:
    """Return the level after it; raises the refusals of `Transaction.level` and QuantityOutOfRangeError."""
    level = transaction.level(command.key)
    _check_room(level, command.quantity)
    return _enter(transaction, level, command.quantity, "ADD", command, cause)


def remove_stock(transaction: Transaction, command: RemoveStock, cause: Cause) -> Level:
    """Return the level after it; raises the refusals of `Transaction.level` and InsufficientStockError."""
    level = transaction.level(command.key)
    _check_available(level, command.quantity)
    return _enter(transaction, level, -command.quantity, "REMOVE", command, cause)


def adjust_stock(transaction: Transaction, command: AdjustStock, cause: Cause) -> Level:
    """Return the level after it.

    Raises the refusals of `Transaction.level`, VersionMismatchError, InsufficientStockError (below what
    is reserved, or below zero) and QuantityOutOfRangeError.
    """
    level = transaction.level(command.key)
    if command.expected_version is not None and command.expected_version != level.version:
        raise VersionMismatchError(command.key, command.expected_version, level.version)
    delta = command.delta if command.counted is None else command.counted - level.on_hand
    if delta < 0:
        _check_available(level, -delta)
    else:
        _check_room(level, delta)
    return _enter(transaction, level, delta, "ADJUST", command, cause)


def move_stock(transaction: Transaction, command: MoveStock, cause: Cause) -> tuple[Level, Level]:
    """Return source and destination after it; both change or neither.

    Raises the refusals of `Transaction.level`, InsufficientStockError and QuantityOutOfRangeError.
    """
    source = transaction.level(command.source)
    destination = transaction.level(command.destination)
    _check_available(source, command.quantity)
    _check_room(destination, command.quantity)
    return (
        _enter(transaction, source, -command.quantity, "MOVE_OUT", command, cause),
        _enter(transaction, destination, command.quantity, "MOVE_IN", command, cause),
    )


def _check_available(level: Level, requested: int) -> None:
    if requested > level.available:
        raise InsufficientStockError(level.key, requested, level.available)


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
