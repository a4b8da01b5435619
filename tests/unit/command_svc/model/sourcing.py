"""Where units come from, found one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from command_svc.domain.allocation import Terms, WantedLine
from tests.unit.command_svc.model.shelves import Bin, Refused, Shelves, Spot


class Search:
    """A search for the units behind a promise."""

    def __init__(self, shelves: Shelves, lines: Sequence[WantedLine], terms: Terms) -> None:
        self.shelves = shelves
        self.lines = lines
        self.terms = terms
        self.parts = [self._parts(line.sku) for line in lines]
        self.left = [line.quantity for line in lines]
        self.taken: Counter[Spot] = Counter()
        self.named: Counter[Bin] = Counter()
        self.room = False

    def run(self) -> tuple[Counter[Bin], Counter[Spot]]:
        """Return what is ready and what is waited for; refuse if it is too little."""
        for room in (False, True) if self.terms.backorder else (False,):
            self.room = room
            for index, line in enumerate(self.lines):
                if line.location_id is not None:
                    self._check(index, line.location_id, line.lot_id)
                    if not (self.room and line.lot_id):
                        self._serve(index, line.location_id, line.lot_id)
            self._anywhere([i for i, line in enumerate(self.lines) if line.location_id is None])
        if any(self.left) and not (self.terms.partial and self.taken):
            raise Refused("INSUFFICIENT_STOCK")
        return self._split()

    def _parts(self, sku: str) -> Counter[str]:
        item = self.shelves.items.get(sku)
        if item is None:
            raise Refused("ITEM_NOT_FOUND")
        parts = Counter(dict(item.components)) if item.components else Counter({sku: 1})
        if self.shelves.archived & {sku, *parts}:
            raise Refused("ITEM_ARCHIVED")
        if not item.components and not item.counted:
            raise Refused("ITEM_NOT_STOCKED")
        return parts

    def _check(self, index: int, place: str, lot_id: str) -> None:
        for sku in self.parts[index]:
            self.shelves.check_open(sku, place)
        for sku in self.parts[index] if lot_id else ():
            if not self.shelves.items[sku].lot_tracked:
                raise Refused("LOT_NOT_TRACKED")
            if (sku, place, lot_id) not in self.shelves.dates:
                raise Refused("LOT_NOT_FOUND")

    def _free(self, spot: Spot, lot_id: str) -> int:
        free = self._there(spot) - self.taken[spot]
        if self.room:
            free += self.shelves.limit[spot] - self.shelves.waited_for(spot)
        if lot_id:
            one = (*spot, lot_id)
            there = self.shelves.available(one) if self.shelves.is_good(one) else 0
            free = min(free, there - self.named[one])
        return free

    def _there(self, spot: Spot) -> int:
        return self.shelves.promisable(spot, use_safety_stock=self.terms.use_safety_stock)

    def _serve(self, index: int, place: str, lot_id: str = "") -> int:
        """Take what there is at a place, unit by unit; return how many there were."""
        served = 0
        parts = self.parts[index]
        while self.left[index] and all(self._free((s, place), lot_id) >= n for s, n in parts.items()):
            for sku, each in parts.items():
                self.taken[sku, place] += each
                self.named[sku, place, lot_id] += each
            self.left[index] -= 1
            served += 1
        return served

    def _try(self, indexes: list[int], place: str) -> int:
        """Return how many units there would be at a place."""
        kept = self.left.copy(), self.taken.copy(), self.named.copy()
        served = sum(self._serve(index, place) for index in indexes)
        self.left, self.taken, self.named = kept
        return served

    def _anywhere(self, indexes: list[int]) -> None:
        places = self._in_order()
        strategy = self.terms.strategy.name
        if strategy == "SINGLE_LOCATION":
            asked = sum(self.left[index] for index in indexes)
            places = [place for place in places if self._try(indexes, place) == asked][:1] or places
        while places:
            place = places[0]
            if strategy == "FEWEST_SPLITS":
                place = max(places, key=lambda place: self._try(indexes, place))
            places.remove(place)
            for index in indexes:
                self._serve(index, place)

    def _in_order(self) -> list[str]:
        there = self.terms.strategy.destination

        def far(place: str) -> float:
            at = self.shelves.places[place].coordinates
            if self.terms.strategy.name != "NEAREST" or there is None:
                return 0.0
            return float("inf") if at is None else (at[0] - there[0]) ** 2 + (at[1] - there[1]) ** 2

        ships = [
            name
            for name, place in self.shelves.places.items()
            if place.ships_online_orders and name not in self.shelves.closed
        ]
        return sorted(ships, key=lambda name: (far(name), self.shelves.places[name].priority, name))

    def _split(self) -> tuple[Counter[Bin], Counter[Spot]]:
        """Return what was taken, ready by lots (those named, then the first to expire), and the rest."""
        ready = Counter({one: units for one, units in self.named.items() if one[2]})
        waiting: Counter[Spot] = Counter()
        for spot, units in self.taken.items():
            left = min(units, self._there(spot))
            waiting[spot] = units - left
            left -= sum(ready[one] for one in self.shelves.bins(spot))
            for one in self.shelves.bins(spot):
                if self.shelves.is_good(one):
                    given = min(left, self.shelves.available(one) - ready[one])
                    ready[one] += given
                    left -= given
        return +ready, +waiting
