"""Commands to ask, drawn with an eye on what there is, so that many of them can be carried out."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.catalog import (
    ArchiveItem,
    CreateItem,
    CreateLocation,
    DeactivateLocation,
    UpdateItem,
    UpdateLocation,
)
from command_svc.domain.commands import Command
from command_svc.domain.item import BUNDLE, DIGITAL, Item
from command_svc.domain.levels import MAX_QUANTITY, LevelKey
from command_svc.domain.location import Location
from command_svc.domain.lot import LotChoice, LotReceipt
from command_svc.domain.orders import CancelOrder, FulfillOrder, OrderedUnits, PlaceOrder
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmedLine,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
)
from command_svc.domain.returns import ReturnedUnits, ReturnOrder
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.domain.transfers import (
    ArrivedLine,
    CancelTransfer,
    DispatchedLine,
    DispatchTransfer,
    ReceiveTransfer,
)
from tests.unit.command_svc.model.rules import STALE, Model
from tests.unit.command_svc.model.shelves import Bin

ITEMS = (
    Item("MUG", "Mug"),
    Item("PEN", "Pen"),
    Item("MILK", "Milk", lot_tracked=True),
    Item("KEY", "Licence", kind=DIGITAL),
    Item("SONG", "Song", kind=DIGITAL, counted=False),
    Item("SET", "Set", kind=BUNDLE, counted=False, components=(("MUG", 2), ("PEN", 1))),
    Item("BOX", "Breakfast", kind=BUNDLE, counted=False, components=(("MUG", 1), ("MILK", 1))),
)
LOCATIONS = (
    Location("WH", "House", "WAREHOUSE", coordinates=(0, 0), priority=2, ships_online_orders=True),
    Location("ST", "Store", "STORE", coordinates=(9, 9), priority=1, ships_online_orders=True),
    Location("DS", "Dark", "DARK_STORE", priority=3, ships_online_orders=True),
    Location("OUT", "Partner", "PARTNER"),
)
DATES = {"L1": date(2026, 1, 3), "L2": date(2026, 1, 5), "L3": None, "L4": date(2026, 1, 1)}
STRATEGIES = (
    Strategy("SINGLE_LOCATION"),
    Strategy("PRIORITY"),
    Strategy("FEWEST_SPLITS"),
    Strategy("NEAREST", (1.0, 1.0)),
    Strategy("NEAREST", (8.0, 8.0)),
)
NOBODY = UUID(int=0)
UNRESOLVED = {"PENDING", "OPEN", "IN_TRANSIT"}

STOCKED = ("MUG", "MILK", "PEN", "KEY", "NEW-1", "NEW-2", "SONG", "SET", "NO")
SOLD = ("MUG", "MILK", "SET", "BOX", "PEN", "KEY", "SONG", "NEW-3", "NO")
PLACES = ("WH", "ST", "DS", "OUT", "NEW", "NO")
SERIALS = tuple(f"S{number}" for number in range(9))


class Asker:
    """Draws commands for what the model holds.

    Chance decides, not hypothesis: its own draws lean to the extremes, and most commands would come to
    nothing. What fails is still made short, by doing less.
    """

    def __init__(self, rng: random.Random, model: Model) -> None:
        self._rng = rng
        self._model = model

    def command(self, kinds: Sequence[str]) -> Command:
        """Return a command of one of the kinds, which are names of methods."""
        useless: set[str] = set()
        if not any(one.state in UNRESOLVED for one in self._model.holds.values()):
            useless |= {"confirm", "cancel_hold", "extend"}
        if not any(one.state in UNRESOLVED for one in self._model.sales.values()):
            useless |= {"fulfill", "cancel_sale"}
        if not any(one.shipped for one in self._model.sales.values()):
            useless |= {"give_back"}
        if not any(one.state in UNRESOLVED for one in self._model.trucks.values()):
            useless |= {"arrive", "call_back"}
        useful = [kind for kind in kinds if kind not in useless]
        command: Command = getattr(self, self._rng.choice(kinds if self._chance(5) else useful))()
        return command

    def _likely(self, *likelihood: tuple[float, Any]) -> Any:  # noqa: ANN401 - what was given
        """Return one of the values, by their weights."""
        weights, values = zip(*likelihood, strict=True)
        return self._rng.choices(values, weights)[0]

    def _chance(self, percent: float) -> bool:
        return self._rng.random() * 100 < percent

    def _first(self, names: Sequence[str]) -> str:
        """Return one of the names, an early one rather than a late one."""
        return self._rng.choices(names, [1 / (1.5**index) for index in range(len(names))])[0]

    def _units(self, most: int = 5) -> int:
        return self._rng.randint(1, most)

    def _version(self) -> int | None:
        return STALE if self._chance(5) else None

    def _spot(self) -> LevelKey:
        return LevelKey(self._first(STOCKED), self._first(PLACES))

    def _full_spot(self) -> LevelKey:
        """Return a level that holds something, most times."""
        full = sorted({one[:2] for one, units in self._model.on_hand.items() if units})
        return LevelKey(*self._rng.choice(full)) if full and self._chance(95) else self._spot()

    def _other(self, place: str) -> str:
        return self._first([other for other in PLACES if other != place])

    def _speaks_of_lots(self, sku: str) -> bool:
        """Tell whether to speak of lots: as the item is kept, most times."""
        tracked = sku in self._model.items and self._model.items[sku].lot_tracked
        return tracked != self._chance(4)

    def _receipt(self, sku: str, units: int) -> LotReceipt | None:
        if not self._speaks_of_lots(sku):
            return None
        lot_id = self._rng.choice(list(DATES))
        day = self._likely((80, DATES[lot_id]), (15, None), (5, date(2026, 1, 4)))
        size = self._likely((45, 0), (53, units), (2, 1))
        absent = [n for n in SERIALS if (sku, n) not in self._model.serials or self._chance(5)]
        return LotReceipt(lot_id, day, tuple(self._rng.sample(absent, min(size, len(absent)))))

    def _choice(self, spot: LevelKey, units: int) -> LotChoice | None:
        if not self._speaks_of_lots(spot.sku) or self._chance(40):
            return None
        lot_id = self._lot_at(spot)
        serials = self._serials(spot, lot_id, units)
        return LotChoice("" if serials and self._chance(50) else lot_id, serials)

    def _lot_at(self, spot: LevelKey) -> str:
        known = [one[2] for one in self._model.bins(spot) if one[2]]
        return self._rng.choice(known) if known and self._chance(90) else self._rng.choice(list(DATES))

    def _serials(self, spot: LevelKey, lot_id: str, units: int) -> tuple[str, ...]:
        """Return serials of a lot, one for each unit, most times; or none."""
        there = [n for (sku, n), at in self._model.serials.items() if (sku, *at) == (*spot, lot_id)]
        if self._chance(4):
            there = list(SERIALS)
        if len(there) < units or self._chance(30):
            return ()
        return tuple(self._rng.sample(sorted(there), units - self._chance(3)))

    def add(self) -> Command:
        """Return an AddStock."""
        key, units = self._spot(), self._units(6)
        lot = self._receipt(key.sku, units)
        return AddStock(key, MAX_QUANTITY if self._chance(2) else units, "RECEIPT", lot=lot)

    def remove(self) -> Command:
        """Return a RemoveStock."""
        key, units = self._full_spot(), self._units()
        return RemoveStock(key, units, self._rng.choice(["SALE", "DAMAGE"]), lot=self._choice(key, units))

    def adjust(self) -> Command:
        """Return an AdjustStock."""
        key, delta = self._full_spot(), self._rng.choice([-3, -2, -1, 1, 2, 3])
        counted = self._rng.randint(0, 6) if self._chance(50) else None
        lot = self._receipt(key.sku, abs(delta))
        if lot and self._chance(80):
            lot = LotReceipt(self._lot_at(key), None, lot.serials)
        if lot and (counted is not None or delta < 0):
            lot = lot._replace(serials=() if counted is not None else self._serials(key, lot.lot_id, -delta))
        return AdjustStock(key, "COUNT", counted, delta if counted is None else 0, self._version(), lot=lot)

    def move(self) -> Command:
        """Return a MoveStock."""
        key, units = self._full_spot(), self._units()
        to = LevelKey(key.sku, self._other(key.location_id))
        return MoveStock(key, to, units, "REBALANCE", lot=self._choice(key, units))

    def policy(self) -> Command:
        """Return a SetStockPolicy."""
        few, more = self._rng.choice([None, 0, 1, 2, 3]), self._rng.choice([None, 0, 4, 8, 8])
        waited = sorted({spot for sale in self._model.sales.values() for spot in +sale.waiting})
        key = LevelKey(*self._rng.choice(waited)) if waited and self._chance(40) else self._spot()
        return SetStockPolicy(key, self._rng.choice([None, 2]), few, more, self._version())

    def _wanted(self, *, lots: bool) -> tuple[WantedLine, ...]:
        lines = []
        for _ in range(self._likely((60, 1), (30, 2), (10, 3))):
            sku, place = self._first(SOLD), self._first(PLACES) if self._chance(60) else None
            lot_id = ""
            if lots and place and self._speaks_of_lots(sku) and self._chance(40):
                lot_id = self._lot_at(LevelKey(sku, place))
            lines.append(WantedLine(sku, place, self._units(4), lot_id))
        return tuple(lines)

    def _terms(self, **more: bool) -> Terms:
        return Terms(self._rng.choice(STRATEGIES), self._chance(30), **more)

    def reserve(self) -> Command:
        """Return a ReserveStock."""
        lines, terms = self._wanted(lots=True), self._terms(partial=self._chance(30))
        return ReserveStock(lines, self._time_to_live(), terms)

    def _time_to_live(self) -> timedelta:
        return timedelta(minutes=self._units(90))

    def _one_of(self, there: Mapping[UUID, Any]) -> UUID:
        """Return the id of one of them, one that is not resolved rather than another."""
        live = [one for one, what in there.items() if what.state in UNRESOLVED]
        if not there or self._chance(3):
            return NOBODY
        return self._rng.choice(live if live and self._chance(92) else list(there))

    def _units_of(self, there: Mapping[Bin, int]) -> list[tuple[LevelKey, int, str, tuple[str, ...]]]:
        """Return some units of some of the lots, named or not; none for all."""
        found = []
        for (sku, place, lot_id), most in sorted(there.items()):
            if most and self._chance(40):
                key, units = LevelKey(sku, place), self._units(most + self._chance(10))
                named = lot_id if self._chance(60) else ""
                found.append((key, units, named, self._serials(key, named, units) if named else ()))
        return found

    def confirm(self) -> Command:
        """Return a ConfirmReservation."""
        one = self._one_of(self._model.holds)
        lines = self._units_of(self._model.holds[one].held) if one in self._model.holds else []
        return ConfirmReservation(one, tuple(ConfirmedLine(*units) for units in lines), self._chance(30))

    def cancel_hold(self) -> Command:
        """Return a CancelReservation."""
        return CancelReservation(self._one_of(self._model.holds))

    def extend(self) -> Command:
        """Return an ExtendReservation."""
        return ExtendReservation(self._one_of(self._model.holds), self._time_to_live())

    def place(self) -> Command:
        """Return a PlaceOrder."""
        return PlaceOrder(self._wanted(lots=False), self._terms(backorder=self._chance(80)))

    def fulfill(self) -> Command:
        """Return a FulfillOrder."""
        one = self._one_of(self._model.sales)
        lines = self._units_of(self._model.sales[one].ready) if one in self._model.sales else []
        return FulfillOrder(one, tuple(OrderedUnits(*units) for units in lines))

    def cancel_sale(self) -> Command:
        """Return a CancelOrder."""
        one = self._one_of(self._model.sales)
        sale = self._model.sales.get(one)
        spots = sorted({bin_[:2] for bin_ in sale.ready} | sale.waiting.keys()) if sale else []
        chosen = [LevelKey(*spot) for spot in spots if self._chance(40)]
        return CancelOrder(one, tuple(OrderedUnits(key, self._units(3)) for key in chosen))

    def give_back(self) -> Command:
        """Return a ReturnOrder."""
        sold = {one: sale for one, sale in self._model.sales.items() if sale.shipped or self._chance(5)}
        one = self._rng.choice(list(sold)) if sold else NOBODY
        lines = []
        for sku, place, lot_id in sorted(sold[one].shipped)[:2] if sold else []:
            key, units = LevelKey(sku, place if self._chance(40) else self._first(PLACES)), self._units(2)
            lot = self._receipt(sku, units)
            if lot and self._chance(95):
                lot = lot._replace(lot_id=lot_id, expiry_date=None) if self._chance(60) else None
            lines.append(ReturnedUnits(key, units, lot, self._rng.choice(["", "", "DAMAGE"])))
        return ReturnOrder(one, tuple(lines) or (ReturnedUnits(LevelKey("MUG", "WH"), 1),))

    def dispatch(self) -> Command:
        """Return a DispatchTransfer."""
        key = self._full_spot()
        source = key.location_id if self._chance(70) else ""
        lines = []
        for _ in range(self._rng.randint(1, 2)):
            units = self._units(4)
            lines.append(DispatchedLine(key.sku, units, self._choice(key, units) if source else None))
            key = key._replace(sku=self._rng.choice(STOCKED) if self._chance(50) else key.sku)
        return DispatchTransfer(source, "" if source else "ACME", self._other(source), tuple(lines))

    def arrive(self) -> Command:
        """Return a ReceiveTransfer."""
        one = self._one_of(self._model.trucks)
        truck = self._model.trucks.get(one)
        lines = []
        for (sku, lot_id), load in sorted(truck.load.items()) if truck else []:
            if load and self._chance(60):
                units = self._units(load + self._chance(10))
                lot = self._receipt(sku, units)
                if lot and lot_id and truck:
                    numbers = truck.serials[sku, lot_id] if self._chance(95) else SERIALS
                    named = tuple(numbers[:units]) if len(numbers) >= units and self._chance(70) else ()
                    lot = LotReceipt(lot_id, None, named) if named or self._chance(60) else None
                lines.append(ArrivedLine(sku, units, lot))
        return ReceiveTransfer(one, tuple(lines), "LOSS" if self._chance(20) else "")

    def call_back(self) -> Command:
        """Return a CancelTransfer."""
        return CancelTransfer(self._one_of(self._model.trucks))

    def create_item(self) -> Command:
        """Return a CreateItem: a plain item, a variant, or a bundle."""
        sku = self._first(("NEW-1", "NEW-2", "NEW-3", "NEW-4", "MUG"))
        parts = self._rng.choice(((), (), (("PEN", 1), ("MUG", 1)), (("NEW-1", 2),), (("SONG", 1),)))
        if parts:
            return CreateItem(Item(sku, sku, kind=BUNDLE, counted=False, components=parts))
        parent = self._rng.choice(["", "", "MUG", "NEW-1", "NO"])
        return CreateItem(Item(sku, sku, parent_sku=parent, lot_tracked=self._chance(50)))

    def edit_item(self) -> Command:
        """Return an UpdateItem."""
        return UpdateItem(self._first(STOCKED), {"name": "Another"}, self._version())

    def archive(self) -> Command:
        """Return an ArchiveItem: seldom of what most of the others speak of."""
        under_way = sorted({sku for truck in self._model.trucks.values() for sku, _ in +truck.load})
        some = under_way if under_way and self._chance(40) else ("NEW-1", "PEN", "KEY", "BOX", "MUG", "NO")
        return ArchiveItem(self._first(some), self._version())

    def create_place(self) -> Command:
        """Return a CreateLocation."""
        return CreateLocation(Location("NEW", "New", "STORE", ships_online_orders=True))

    def edit_place(self) -> Command:
        """Return an UpdateLocation."""
        return UpdateLocation(self._first(PLACES), {"name": "Another"}, self._version())

    def deactivate(self) -> Command:
        """Return a DeactivateLocation: seldom of what most of the others speak of."""
        return DeactivateLocation(self._first(("NEW", "DS", "OUT", "ST", "NO")), self._version())
