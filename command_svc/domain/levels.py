"""Levels of stock and the entries of the ledger that change them.

All are named tuples: immutable, and made twice as fast as frozen dataclasses, which counts because every
command makes some of them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

MAX_QUANTITY = 10**15
"""The most units kept at one level: sums over many levels stay within int64 and exact in a double."""

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""The update time of a level that has no entry yet."""


class LevelKey(NamedTuple):
    """Names the stock of one item at one location. Its order is the order in which levels are locked."""

    sku: str
    location_id: str


class Quantities(NamedTuple):
    """The four quantities that the ledger follows, as deltas or as results, in the item's unit."""

    on_hand: int = 0
    reserved: int = 0
    backordered: int = 0
    in_transit: int = 0


class Level(NamedTuple):
    """How much of one item is at one location; a level without entries has version 0 and no row.

    `lot_tracked` is the item's: then on_hand and reserved are the sums of the level's lots.
    """

    key: LevelKey
    on_hand: int = 0
    reserved: int = 0
    backordered: int = 0
    in_transit: int = 0
    safety_stock: int = 0
    reorder_point: int = 0
    backorder_limit: int = 0
    version: int = 0
    update_time: datetime = NEVER
    lot_tracked: bool = False

    @property
    def available(self) -> int:
        """What is there and not promised."""
        return self.on_hand - self.reserved

    @property
    def sellable(self) -> int:
        """What may be promised now."""
        return max(0, self.available - self.safety_stock)

    @property
    def low(self) -> bool:
        """Whether it is time to reorder."""
        return self.available + self.in_transit - self.backordered <= self.reorder_point

    def changed(self, delta: Quantities, now: datetime) -> Level:
        """Return the level after one ledger entry of `delta`, recorded at `now`."""
        return Level(
            self.key,
            self.on_hand + delta.on_hand,
            self.reserved + delta.reserved,
            self.backordered + delta.backordered,
            self.in_transit + delta.in_transit,
            self.safety_stock,
            self.reorder_point,
            self.backorder_limit,
            self.version + 1,
            now,
            self.lot_tracked,
        )


class Cause(NamedTuple):
    """Who and what is behind a change."""

    actor: str
    request_id: str


CLOCKWORK = Cause("inventory", "")
"""The cause of what nobody asked for: time has run out."""


class Why(NamedTuple):
    """What an entry of the ledger says beside its quantities.

    `reference` is the caller's own document or the id of the reservation, order or transfer; `supplier` is
    who delivered; `occur_time` is when it happened, None for now.
    """

    kind: str
    reason: str
    cause: Cause
    reference: str = ""
    occur_time: datetime | None = None
    supplier: str = ""


class Movement(NamedTuple):
    """One entry of the ledger: what changed, why, and the level it led to (with version and time)."""

    why: Why
    delta: Quantities
    level: Level
    lot_id: str
    occur_time: datetime
