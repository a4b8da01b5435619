"""What is where: items, locations, units in lots, and those who wait for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from uuid import UUID

from command_svc.domain.item import Item
from command_svc.domain.levels import MAX_QUANTITY
from command_svc.domain.location import Location
from command_svc.domain.lot import LotChoice, LotReceipt

Spot = tuple[str, str]
"""An item at a location."""

Bin = tuple[str, str, str]
"""One lot of it; the last is empty where lots are not kept."""


class Refused(Exception):  # noqa: N818 - not an error
    """The command must be refused for this reason, one of ErrorReason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Hold:
    """What is held for a while."""

    expires: datetime
    held: Counter[Bin]
    state: str = "PENDING"

    def copy(self) -> Hold:
        """Return one that goes its own way from here."""
        return replace(self, held=self.held.copy())


@dataclass
class Sale:
    """What an order has ready, waits for, has shipped and has got back."""

    ready: Counter[Bin]
    waiting: Counter[Spot]
    shipped: Counter[Bin] = field(default_factory=Counter)
    returned: Counter[tuple[str, str]] = field(default_factory=Counter)
    state: str = "OPEN"

    def copy(self) -> Sale:
        """Return one that goes its own way from here."""
        return replace(
            self,
            ready=self.ready.copy(),
            waiting=self.waiting.copy(),
            shipped=self.shipped.copy(),
            returned=self.returned.copy(),
        )


@dataclass
class Truck:
    """What is on its way, by item and lot, and the serials that are known of it."""

    source: str
    destination: str
    load: Counter[tuple[str, str]] = field(default_factory=Counter)
    serials: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    state: str = "IN_TRANSIT"

    def copy(self) -> Truck:
        """Return one that goes its own way from here."""
        serials = {key: list(numbers) for key, numbers in self.serials.items()}
        return replace(self, load=self.load.copy(), serials=serials)


class Shelves:
    """All there is, at the time `now`."""

    def __init__(self, now: datetime, items: Iterable[Item], places: Iterable[Location]) -> None:
        self.now = now
        self.items = {item.sku: item for item in items}
        self.places = {place.location_id: place for place in places}
        self.archived: set[str] = set()
        self.closed: set[str] = set()
        self.edits: Counter[str] = Counter()
        self.on_hand: Counter[Bin] = Counter()
        self.dates: dict[Bin, date | None] = {}
        self.serials: dict[tuple[str, str], Spot] = {}
        self.safety: Counter[Spot] = Counter()
        self.limit: Counter[Spot] = Counter()
        self.reorder: Counter[Spot] = Counter()
        self.holds: dict[UUID, Hold] = {}
        self.sales: dict[UUID, Sale] = {}
        self.trucks: dict[UUID, Truck] = {}

    # What can be counted.

    def bins(self, spot: Spot) -> list[Bin]:
        """Return the lots known at a place, the first to expire first."""
        found = [one for one in self.on_hand.keys() | self.dates.keys() if one[:2] == spot]
        return sorted(found, key=lambda one: (self.dates.get(one) or date.max, one[2]))

    def promised(self, one: Bin) -> int:
        """Return what is promised of a lot."""
        return sum(hold.held[one] for hold in self.holds.values()) + sum(
            sale.ready[one] for sale in self.sales.values()
        )

    def available(self, one: Bin) -> int:
        """Return what is there of a lot and not promised."""
        return self.on_hand[one] - self.promised(one)

    def waited_for(self, spot: Spot) -> int:
        """Return what orders wait for."""
        return sum(sale.waiting[spot] for sale in self.sales.values())

    def under_way(self, spot: Spot) -> int:
        """Return what is on its way to a place."""
        return sum(
            units
            for truck in self.trucks.values()
            for (sku, _), units in truck.load.items()
            if (sku, truck.destination) == spot
        )

    def is_good(self, one: Bin) -> bool:
        """Tell whether units of a lot may be promised: through the day of its date."""
        return (self.dates.get(one) or date.max) >= self.now.date()

    def promisable(self, spot: Spot, *, use_safety_stock: bool) -> int:
        """Return what may be promised now."""
        good = sum(self.available(one) for one in self.bins(spot) if self.is_good(one))
        return max(0, good if use_safety_stock else good - self.safety[spot])

    # What must be so.

    def check_exists(self, sku: str, place: str) -> None:
        """Refuse a place where there can be no stock of the item."""
        if sku not in self.items:
            raise Refused("ITEM_NOT_FOUND")
        if not self.items[sku].counted:
            raise Refused("ITEM_NOT_STOCKED")
        if place not in self.places:
            raise Refused("LOCATION_NOT_FOUND")

    def check_open(self, sku: str, place: str) -> None:
        """Refuse a place that takes nothing new of the item."""
        self.check_exists(sku, place)
        if sku in self.archived:
            raise Refused("ITEM_ARCHIVED")
        if place in self.closed:
            raise Refused("LOCATION_INACTIVE")

    # What happens.

    def receive(self, spot: Spot, receipt: LotReceipt | None, units: int, *, some: bool = False) -> Bin:
        """Return the lot that units belong to; with `some`, not every one of them has a serial."""
        if not self.items[spot[0]].lot_tracked:
            if receipt is not None:
                raise Refused("LOT_NOT_TRACKED")
            return (*spot, "")
        if receipt is None:
            raise Refused("LOT_REQUIRED")
        one = (*spot, receipt.lot_id)
        if self.dates.setdefault(one, receipt.expiry_date) != receipt.expiry_date and receipt.expiry_date:
            raise Refused("LOT_MISMATCH")
        if receipt.serials and len(receipt.serials) != units and not some:
            raise Refused("SERIALS_REQUIRED")
        for number in receipt.serials:
            if (spot[0], number) in self.serials:
                raise Refused("SERIAL_ALREADY_PRESENT")
            self.serials[spot[0], number] = one[1:]
        return one

    def arrive(self, one: Bin, units: int, *, fill: bool = True) -> None:
        """Put units on the shelf, and give them to those who wait."""
        if units and sum(self.on_hand[other] for other in self.bins(one[:2])) + units > MAX_QUANTITY:
            raise Refused("QUANTITY_OUT_OF_RANGE")
        self.on_hand[one] += units
        if fill:
            self.fill(one, units)

    def fill(self, one: Bin, units: int) -> None:
        """Give units that have become available to the orders that wait, the oldest first."""
        spot = one[:2]
        for sale in self.sales.values() if self.is_good(one) else ():
            given = min(units, sale.waiting[spot])
            units -= given
            sale.waiting[spot] -= given
            sale.ready[one] += given

    def leave(self, one: Bin, units: int, serials: Iterable[str] = ()) -> None:
        """Take units off the shelf."""
        for number in serials:
            if self.serials.get((one[0], number)) != one[1:]:
                raise Refused("SERIAL_NOT_FOUND")
            del self.serials[one[0], number]
        self.on_hand[one] -= units
        known = sum(sku == one[0] and at == one[1:] for (sku, _), at in self.serials.items())
        if known > self.on_hand[one]:
            raise Refused("SERIALS_REQUIRED")

    def take(
        self, spot: Spot, units: int, choice: LotChoice | None, *, expired: bool = False
    ) -> list[tuple[Bin, int, tuple[str, ...]]]:
        """Return the lots that available units come from, once expired holds are out of the way."""
        self.check_exists(*spot)
        try:
            return self._pick(spot, units, choice or LotChoice(), expired=expired)
        except Refused as refused:
            if refused.reason != "INSUFFICIENT_STOCK" or not self.expire({spot}):
                raise
            return self._pick(spot, units, choice or LotChoice(), expired=expired)

    def _pick(
        self, spot: Spot, units: int, choice: LotChoice, *, expired: bool
    ) -> list[tuple[Bin, int, tuple[str, ...]]]:
        lot_id, serials = choice
        if not self.items[spot[0]].lot_tracked and (lot_id or serials):
            raise Refused("LOT_NOT_TRACKED")
        if serials and len(serials) != units:
            raise Refused("SERIALS_REQUIRED")
        if serials:
            at = {number: self.serials.get((spot[0], number), ("", "")) for number in serials}
            if any(place != spot[1] or lot_id not in {"", lot} for place, lot in at.values()):
                raise Refused("SERIAL_NOT_FOUND")
            named = {lot: tuple(n for n in serials if at[n][1] == lot) for _, lot in sorted(at.values())}
            parts = [((*spot, lot), len(numbers), numbers) for lot, numbers in named.items()]
            if any(self.available(one) < count for one, count, _ in parts):
                raise Refused("INSUFFICIENT_STOCK")
            return parts
        if lot_id and (*spot, lot_id) not in self.dates:
            raise Refused("LOT_NOT_FOUND")
        parts = []
        for one in self.bins(spot):
            if lot_id == one[2] or (not lot_id and (expired or self.is_good(one))):
                count = min(units, self.available(one))
                units -= count
                parts += [(one, count, ())] if count else []
        if units:
            raise Refused("INSUFFICIENT_STOCK")
        return parts

    def expire(self, spots: set[Spot] | None = None) -> bool:
        """Give back what holds whose time has run out keep at the places, or anywhere."""
        freed = False
        for hold in self.holds.values():
            held = +hold.held
            touched = spots is None or any(one[:2] in spots for one in held)
            if hold.state == "PENDING" and hold.expires <= self.now and touched:
                hold.state, hold.held, freed = "EXPIRED", Counter(), True
                for one in sorted(held):
                    self.fill(one, held[one])
        return freed
