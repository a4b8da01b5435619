"""What is promised to whom: reservations and orders, as they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from command_svc.domain.levels import Cause, LevelKey

PENDING, CONFIRMED, CANCELLED, EXPIRED = "PENDING", "CONFIRMED", "CANCELLED", "EXPIRED"
OPEN, FULFILLED = "OPEN", "FULFILLED"


class Line(NamedTuple):
    """What a reservation holds, or held, of one lot of a level; `lot_id` is empty where lots are not kept."""

    key: LevelKey
    quantity: int
    confirmed: int = 0
    released: int = 0
    lot_id: str = ""

    @property
    def held(self) -> int:
        """Units that are neither confirmed nor given back."""
        return self.quantity - self.confirmed - self.released


@dataclass(frozen=True, slots=True)
class Reservation:
    """A promise for a while: pending, then exactly once confirmed, cancelled or expired.

    Each lot of each level is in one line, and which they are never changes.
    """

    reservation_id: UUID
    state: str
    lines: tuple[Line, ...]
    expire_time: datetime
    channel: str
    reference: str
    actor: str
    version: int
    create_time: datetime
    update_time: datetime

    def is_expired(self, now: datetime) -> bool:
        """Tell whether it holds nothing any more because its time has run out."""
        return self.state == EXPIRED or (self.state == PENDING and self.expire_time <= now)


class Extension(NamedTuple):
    """A reservation was made to hold until another time.

    No entry tells of it: `entries` is how many of its transaction come before it.
    """

    reservation_id: UUID
    expire_time: datetime
    cause: Cause
    entries: int


class OrderLine(NamedTuple):
    """What was ordered: units of an item of any kind."""

    sku: str
    quantity: int


class Allocation(NamedTuple):
    """Units of an order that come from one lot of a level; without a lot while they are backordered."""

    key: LevelKey
    quantity: int
    backordered: int = 0
    shipped: int = 0
    cancelled: int = 0
    returned: int = 0
    lot_id: str = ""

    @property
    def reserved(self) -> int:
        """Units that lie ready for it."""
        return self.quantity - self.backordered - self.shipped - self.cancelled

    @property
    def open(self) -> int:
        """Units that may still be shipped or cancelled."""
        return self.quantity - self.shipped - self.cancelled


@dataclass(frozen=True, slots=True)
class Order:
    """A promise without an end: open until every unit is shipped or cancelled.

    Which levels its allocations are at never changes; the lots of a level may, when a backorder is filled.
    """

    order_id: UUID
    state: str
    lines: tuple[OrderLine, ...]
    allocations: tuple[Allocation, ...]
    channel: str
    reference: str
    actor: str
    version: int
    create_time: datetime
    update_time: datetime

    def waits_at(self, key: LevelKey) -> int:
        """Return how many of its units are backordered at a level."""
        return sum(one.backordered for one in self.allocations if one.key == key)
