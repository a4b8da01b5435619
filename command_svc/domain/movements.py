"""Moving units: one entry of the ledger at a time, and what follows from each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from command_svc.domain import backorders, lots
from command_svc.domain.levels import MAX_QUANTITY, Level, LevelKey, Quantities, Why
from command_svc.domain.lot import LotKey
from command_svc.domain.refusals import QuantityOutOfRangeError

if TYPE_CHECKING:
    from command_svc.domain.transaction import Transaction


def move(  # noqa: PLR0913 - a move has this many facts
    transaction: Transaction,
    key: LevelKey,
    delta: Quantities,
    why: Why,
    *,
    lot_id: str = "",
    serials: Iterable[str] = (),
    fill: bool = True,
) -> Level:
    """Enter one change of a level and of its lot; return the level it leads to.

    Units that become available go to the level's backorders first, unless `fill` is false. Raises the
    refusals of `Transaction.level`, QuantityOutOfRangeError and those of `lots.change`.
    """
    level = transaction.level(key)
    if delta.on_hand > 0 and level.on_hand + delta.on_hand > MAX_QUANTITY:
        raise QuantityOutOfRangeError(level, delta.on_hand, "on_hand")
    if delta.in_transit > 0 and level.in_transit + delta.in_transit > MAX_QUANTITY:
        raise QuantityOutOfRangeError(level, delta.in_transit, "in_transit")
    if lot_id:
        lots.change(transaction, LotKey(*key, lot_id), delta.on_hand, delta.reserved, serials)
    result = transaction.enter(level.changed(delta, transaction.now), delta, why, lot_id)
    came = delta.on_hand - delta.reserved
    if fill and came > 0 and result.backordered:
        return backorders.fill(transaction, result, lot_id, came, why.cause)
    return result
