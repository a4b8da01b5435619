"""Which lots units come from and go to, and what is known of the units one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.lot import Lot, LotChoice, LotKey, LotReceipt, Part, Serial
from command_svc.domain.refusals import (
    InsufficientStockError,
    LotMismatchError,
    LotNotFoundError,
    LotNotTrackedError,
    LotRequiredError,
    SerialAlreadyPresentError,
    SerialNotFoundError,
    SerialsRequiredError,
)

if TYPE_CHECKING:
    from command_svc.domain.promises import Allocation, Line
    from command_svc.domain.transaction import Transaction


ANY_LOT = LotChoice()


def of_level(transaction: Transaction, key: LevelKey) -> list[Lot]:
    """Return the lots of a level that hold something, the first to expire first, those without date last."""
    lots = [lot for lot in transaction.lots.values() if lot.on_hand and lot.key.level == key]
    return sorted(lots, key=lambda lot: _first_out(lot.expiry_date, lot.key.lot_id))


def in_order(transaction: Transaction, promised: Sequence[Line] | Sequence[Allocation]) -> list[int]:
    """Return the places of what is promised in its sequence, the first to expire first."""

    def first_out(index: int) -> tuple[date, str]:
        lot = transaction.lots.get(LotKey(*promised[index].key, promised[index].lot_id))
        return _first_out(lot.expiry_date if lot else None, promised[index].lot_id)

    return sorted(range(len(promised)), key=first_out)


def _first_out(expiry_date: date | None, lot_id: str) -> tuple[date, str]:
    return expiry_date or date.max, lot_id


def free(transaction: Transaction, level: Level, lot_id: str = "") -> int:
    """Return the available units of a level that may be promised: of a lot if one is named, never expired.

    Raises LotNotTrackedError and LotNotFoundError.
    """
    if not level.lot_tracked:
        if lot_id:
            raise LotNotTrackedError(level.key.sku, lot_id)
        return level.available
    if lot_id and LotKey(*level.key, lot_id) not in transaction.lots:
        raise LotNotFoundError(LotKey(*level.key, lot_id))
    today = transaction.now.date()
    return sum(
        lot.available
        for lot in of_level(transaction, level.key)
        if not lot.has_expired(today) and lot_id in {"", lot.key.lot_id}
    )


def receive(transaction: Transaction, level: Level, receipt: LotReceipt | None, units: int) -> str:
    """Enter which lot `units` that arrive at a level belong to; return its id, "" where lots are not kept.

    The units themselves are for the caller to move, next. A receipt without a date leaves the lot's as it
    is. Raises LotRequiredError, LotNotTrackedError, LotMismatchError,
    SerialsRequiredError (one for each unit) and SerialAlreadyPresentError.
    """
    if not level.lot_tracked:
        if receipt is not None:
            raise LotNotTrackedError(level.key.sku, receipt.lot_id)
        return ""
    if receipt is None or not receipt.lot_id:
        raise LotRequiredError(level.key.sku)
    key = LotKey(*level.key, receipt.lot_id)
    lot = transaction.lots.get(key)
    if lot is None:
        lot = Lot(key, receipt.expiry_date, create_time=transaction.now)
    elif receipt.expiry_date not in {None, lot.expiry_date}:
        raise LotMismatchError(key, receipt.expiry_date, lot.expiry_date)
    if receipt.serials and len(receipt.serials) != units:
        raise SerialsRequiredError(key, units, len(receipt.serials))
    for number in receipt.serials:
        known = transaction.serials.get((key.sku, number))
        if known is not None and known.present:
            raise SerialAlreadyPresentError(key.sku, number, known.location_id)
        transaction.put(
            transaction.serials, (key.sku, number), Serial(key.sku, number, key.location_id, key.lot_id)
        )
    # Written even if nothing else of it changes here, so that what is moved next finds it.
    transaction.put(transaction.lots, key, lot._replace(serials=lot.serials + len(receipt.serials)))
    return key.lot_id


def take(
    transaction: Transaction, level: Level, units: int, choice: LotChoice | None, *, expired: bool = False
) -> list[Part]:
    """Return which lots `units` available units of a level come from, first expired first out.

    Lots that have expired are passed over, unless `expired` allows them or one is named. Nothing is moved.
    Raises InsufficientStockError, LotNotTrackedError, LotNotFoundError, SerialNotFoundError.
    """
    lot_id, serials = choice or ANY_LOT
    if not level.lot_tracked:
        if lot_id or serials:
            raise LotNotTrackedError(level.key.sku, lot_id)
        if units > level.available:
            raise InsufficientStockError(level.key, units, level.available)
        return [Part("", units)]
    if serials:
        return _by_serials(transaction, level, units, lot_id, serials)
    if lot_id:
        return [_of_lot(transaction, level, units, lot_id)]
    today = transaction.now.date()
    parts: list[Part] = []
    left = units
    for lot in of_level(transaction, level.key):
        if left and lot.available > 0 and (expired or not lot.has_expired(today)):
            parts.append(Part(lot.key.lot_id, min(left, lot.available)))
            left -= parts[-1].units
    if left:
        raise InsufficientStockError(level.key, units, units - left)
    return parts


def _of_lot(transaction: Transaction, level: Level, units: int, lot_id: str) -> Part:
    lot = transaction.lots.get(LotKey(*level.key, lot_id))
    if lot is None:
        raise LotNotFoundError(LotKey(*level.key, lot_id))
    if units > lot.available:
        raise InsufficientStockError(level.key, units, lot.available, lot_id=lot_id)
    return Part(lot_id, units)


def _by_serials(
    transaction: Transaction, level: Level, units: int, lot_id: str, serials: tuple[str, ...]
) -> list[Part]:
    if len(serials) != units:
        raise SerialsRequiredError(LotKey(*level.key, lot_id), units, len(serials))
    by_lot: dict[str, list[str]] = {}
    for number in serials:
        known = transaction.serials.get((level.key.sku, number))
        if known is None or not known.present or known.location_id != level.key.location_id:
            raise SerialNotFoundError(level.key, number)
        if lot_id not in {"", known.lot_id}:
            raise SerialNotFoundError(level.key, number)
        by_lot.setdefault(known.lot_id, []).append(number)
    parts = [Part(lot, len(numbers), tuple(numbers)) for lot, numbers in sorted(by_lot.items())]
    for part in parts:
        lot = transaction.lots[LotKey(*level.key, part.lot_id)]
        if part.units > lot.available:
            raise InsufficientStockError(level.key, part.units, lot.available, lot_id=part.lot_id)
    return parts


def change(
    transaction: Transaction,
    key: LotKey,
    on_hand: int,
    reserved: int,
    serials: Iterable[str] = (),
) -> None:
    """Enter what a move changes of a lot; `serials` leave with the units.

    Raises SerialNotFoundError, and SerialsRequiredError when fewer units than serials would be left.
    """
    lot = transaction.lots[key]
    gone = 0
    for number in serials:
        known = transaction.serials.get((key.sku, number))
        if known is None or not known.present or (known.location_id, known.lot_id) != key[1:]:
            raise SerialNotFoundError(key.level, number)
        transaction.put(transaction.serials, (key.sku, number), known._replace(present=False))
        gone += 1
    after = lot._replace(
        on_hand=lot.on_hand + on_hand,
        reserved=lot.reserved + reserved,
        serials=lot.serials - gone,
        version=lot.version + 1,
        update_time=transaction.now,
    )
    if after.serials > after.on_hand:
        raise SerialsRequiredError(key, -on_hand, gone)
    transaction.put(transaction.lots, key, after)
