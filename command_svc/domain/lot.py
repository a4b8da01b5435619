"""Units of one item at one location that share a number and a date, as they are kept and named."""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

from command_svc.domain.levels import NEVER, LevelKey


class LotKey(NamedTuple):
    """Names a lot at a location."""

    sku: str
    location_id: str
    lot_id: str

    @property
    def level(self) -> LevelKey:
        """The level that the lot is a part of."""
        return LevelKey(self.sku, self.location_id)


class Lot(NamedTuple):
    """How much of a lot is there; `serials` counts the units that are known one by one."""

    key: LotKey
    expiry_date: date | None = None
    on_hand: int = 0
    reserved: int = 0
    serials: int = 0
    version: int = 0
    create_time: datetime = NEVER
    update_time: datetime = NEVER

    @property
    def available(self) -> int:
        """What is there and not promised."""
        return self.on_hand - self.reserved

    def has_expired(self, today: date) -> bool:
        """Tell whether its date has passed: it is good through the day of its date."""
        return self.expiry_date is not None and self.expiry_date < today


class Serial(NamedTuple):
    """Where the unit with a serial number is, or was when it left."""

    sku: str
    number: str
    location_id: str
    lot_id: str
    present: bool = True


class LotReceipt(NamedTuple):
    """The lot that arriving units belong to; `serials` name each of them, or none."""

    lot_id: str
    expiry_date: date | None = None
    serials: tuple[str, ...] = ()


class LotChoice(NamedTuple):
    """The lot that units are taken from, the first to expire when empty; `serials` name each, or none."""

    lot_id: str = ""
    serials: tuple[str, ...] = ()


class Part(NamedTuple):
    """Units taken from one lot; `lot_id` is empty where lots are not kept."""

    lot_id: str
    units: int
    serials: tuple[str, ...] = ()
