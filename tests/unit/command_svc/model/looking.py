"""Looking at what is kept: it is what the model says, it adds up, and the ledger explains it."""

from __future__ import annotations

from collections import Counter, defaultdict

from command_svc.domain.levels import LevelKey, Quantities
from command_svc.domain.lot import LotKey
from tests.unit.command_svc.memory_store import MemoryStore
from tests.unit.command_svc.model.rules import Model


class Auditor:
    """Reads the ledger of one store as it grows."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.model: Model
        self._told = 0
        self._sums: dict[LevelKey, Quantities] = defaultdict(Quantities)
        self._entries: Counter[LevelKey] = Counter()
        self._lot_sums: dict[LotKey, Quantities] = defaultdict(Quantities)

    def look(self, model: Model) -> None:
        """Fail if anything is not as it must be."""
        self.model = model
        self._levels_are_those_of_the_model()
        self._lots_are_those_of_the_model()
        self._promises_are_those_of_the_model()
        self._transfers_are_those_of_the_model()
        self._the_catalogue_is_that_of_the_model()
        self._arithmetic_holds()
        self._nobody_waits_for_what_could_be_sold()
        self._the_ledger_explains_every_level()

    def _levels_are_those_of_the_model(self) -> None:
        model = self.model
        for key, level in self.store.levels.items():
            bins = model.bins(key)
            assert level[1:8] == (
                sum(model.on_hand[one] for one in bins),
                sum(model.promised(one) for one in bins),
                model.waited_for(key),
                model.under_way(key),
                model.safety[key],
                model.reorder[key],
                model.limit[key],
            ), key
        assert {one[:2] for one, units in model.on_hand.items() if units} <= self.store.levels.keys()

    def _lots_are_those_of_the_model(self) -> None:
        sums: dict[LevelKey, Counter[str]] = defaultdict(Counter)
        for key, lot in self.store.lots.items():
            assert (lot.expiry_date, lot.on_hand, lot.reserved) == (
                self.model.dates[key],
                self.model.on_hand[key],
                self.model.promised(key),
            ), key
            assert 0 <= lot.reserved <= lot.on_hand
            present = sum(
                one.present and (one.sku, one.location_id, one.lot_id) == key
                for one in self.store.serials.values()
            )
            assert lot.serials == present <= lot.on_hand
            sums[key.level].update(on_hand=lot.on_hand, reserved=lot.reserved)
        for level in self.store.levels.values():
            if level.lot_tracked:
                assert (sums[level.key]["on_hand"], sums[level.key]["reserved"]) == level[1:3]
        assert self.store.lots.keys() == self.model.dates.keys()
        assert self.model.serials == {
            key: (one.location_id, one.lot_id) for key, one in self.store.serials.items() if one.present
        }

    def _promises_are_those_of_the_model(self) -> None:
        assert self.store.reservations.keys() == self.model.holds.keys()
        for one, reservation in self.store.reservations.items():
            hold = self.model.holds[one]
            held = Counter({(*line.key, line.lot_id): line.held for line in reservation.lines})
            assert (reservation.state, +held) == (hold.state, +hold.held)
        assert self.store.orders.keys() == self.model.sales.keys()
        for one, order in self.store.orders.items():
            sale = self.model.sales[one]
            ready, waiting, shipped, returned = Counter(), Counter(), Counter(), Counter()  # type: ignore[var-annotated]
            for part in order.allocations:
                assert min(part[1:6]) >= 0 <= part.reserved
                assert part.returned <= part.shipped
                assert not (part.backordered and part.lot_id)
                ready[*part.key, part.lot_id] += part.reserved
                waiting[part.key] += part.backordered
                shipped[*part.key, part.lot_id] += part.shipped
                returned[part.key.sku, part.lot_id] += part.returned
            assert (order.state, +ready, +waiting) == (sale.state, +sale.ready, +sale.waiting)
            assert (+shipped, +returned) == (+sale.shipped, +sale.returned)

    def _transfers_are_those_of_the_model(self) -> None:
        assert self.store.transfers.keys() == self.model.trucks.keys()
        for one, transfer in self.store.transfers.items():
            truck = self.model.trucks[one]
            load = Counter({(line.sku, line.lot_id): line.under_way for line in transfer.lines})
            assert (transfer.state, +load) == (truck.state, +truck.load)
            assert all(min(line[1:5]) >= 0 for line in transfer.lines)

    def _the_catalogue_is_that_of_the_model(self) -> None:
        assert self.store.items.keys() == self.model.items.keys()
        assert self.store.locations.keys() == self.model.places.keys()
        for sku, item in self.store.items.items():
            assert (item.state == "ARCHIVED") == (sku in self.model.archived)
            assert item.version == 1 + self.model.edits[sku]
        for place, location in self.store.locations.items():
            assert location.is_active == (place not in self.model.closed)
            assert location.version == 1 + self.model.edits[place]

    def _arithmetic_holds(self) -> None:
        for level in self.store.levels.values():
            assert 0 <= level.reserved <= level.on_hand
            assert 0 <= level.backordered <= level.backorder_limit
            assert level.in_transit >= 0

    def _nobody_waits_for_what_could_be_sold(self) -> None:
        for key, level in self.store.levels.items():
            if level.backordered:
                assert not self.model.promisable(key, use_safety_stock=False)

    def _the_ledger_explains_every_level(self) -> None:
        for entry in self.store.ledger[self._told :]:
            key = entry.level.key
            self._entries[key] += 1
            self._sums[key] = Quantities(*map(sum, zip(self._sums[key], entry.delta, strict=True)))
            # Dense versions, and each entry's result is the sum of the deltas up to it.
            assert entry.level.version == self._entries[key]
            assert entry.level[1:5] == self._sums[key]
            stocked = entry.delta.on_hand or entry.delta.reserved
            assert bool(entry.lot_id) == entry.level.lot_tracked or not stocked
            if entry.lot_id:
                lot = LotKey(*key, entry.lot_id)
                self._lot_sums[lot] = Quantities(
                    *map(sum, zip(self._lot_sums[lot], entry.delta, strict=True))
                )
        self._told = len(self.store.ledger)
        for key, level in self.store.levels.items():
            assert (level.version, level[1:5]) == (self._entries[key], self._sums[key])
        for lot_key, kept in self.store.lots.items():
            assert (kept.on_hand, kept.reserved) == self._lot_sums[lot_key][:2]
