"""What each command does, or why it must be refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any
from uuid import UUID

from command_svc.domain import catalog, orders, reservations, stock, transfers
from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.commands import Command
from command_svc.domain.lot import LotChoice, LotReceipt
from tests.unit.command_svc.model.shelves import Bin, Hold, Refused, Sale, Shelves, Spot, Truck
from tests.unit.command_svc.model.sourcing import Search

STALE = 999
"""A version that nothing ever has."""


class Model(Shelves):
    """The whole domain."""

    def apply(self, command: Command, new_id: UUID | None = None) -> str:
        """Carry a command out; what it makes gets `new_id`. Return why it is refused, "" if it is not."""
        before = vars(self.copy())
        try:
            if getattr(command, "expected_version", None) == STALE:
                self._check_stale(command)
            self._rule(command)(command, new_id)
        except Refused as refused:
            vars(self).update(before)
            return refused.reason
        return ""

    def copy(self) -> Model:
        """Return a model that goes its own way from here."""
        other = Model(self.now, self.items.values(), self.places.values())
        vars(other).update({name: one.copy() for name, one in vars(self).items() if name != "now"})
        other.holds = {one: hold.copy() for one, hold in self.holds.items()}
        other.sales = {one: sale.copy() for one, sale in self.sales.items()}
        other.trucks = {one: truck.copy() for one, truck in self.trucks.items()}
        return other

    def _rule(self, command: Command) -> Callable[[Any, Any], None]:
        rules: dict[type, Callable[[Any, Any], None]] = {
            stock.AddStock: self._add,
            stock.RemoveStock: self._remove,
            stock.AdjustStock: self._adjust,
            stock.MoveStock: self._move,
            stock.SetStockPolicy: self._set_policy,
            reservations.ReserveStock: self._reserve,
            reservations.ConfirmReservation: self._confirm,
            reservations.CancelReservation: self._cancel_hold,
            reservations.ExtendReservation: self._extend,
            orders.PlaceOrder: self._place,
            orders.FulfillOrder: self._fulfill,
            orders.CancelOrder: self._cancel_sale,
            orders.ReturnOrder: self._return,
            transfers.DispatchTransfer: self._dispatch,
            transfers.ReceiveTransfer: self._receive,
            transfers.CancelTransfer: self._call_back,
            catalog.CreateItem: self._create_item,
            catalog.UpdateItem: self._update_item,
            catalog.ArchiveItem: self._archive,
            catalog.CreateLocation: self._create_place,
            catalog.UpdateLocation: self._update_place,
            catalog.DeactivateLocation: self._deactivate,
        }
        return rules[type(command)]

    def _check_stale(self, command: Any) -> None:  # noqa: ANN401 - any with an expected version
        match command:
            case stock.AdjustStock():
                self.check_exists(*command.key)
            case stock.SetStockPolicy():
                self.check_open(*command.key)
            case catalog.UpdateItem() | catalog.ArchiveItem():
                self._check_item(command.sku)
            case _:
                self._check_place(command.location_id)
        raise Refused("VERSION_MISMATCH")

    # Stock

    def _add(self, command: stock.AddStock, _: object) -> None:
        self.check_open(*command.key)
        self.arrive(self.receive(command.key, command.lot, command.quantity), command.quantity)

    def _remove(self, command: stock.RemoveStock, _: object) -> None:
        expired = command.reason != "SALE"
        for part in self.take(command.key, command.quantity, command.lot, expired=expired):
            self.leave(*part)

    def _adjust(self, command: stock.AdjustStock, _: object) -> None:
        spot, lot = command.key, command.lot
        self.check_exists(*spot)
        tracked = self.items[spot.sku].lot_tracked
        if lot is None and tracked:
            raise Refused("LOT_REQUIRED")
        delta = command.delta
        if command.counted is not None:
            delta = command.counted - self.on_hand[(*spot, lot.lot_id if lot and tracked else "")]
        if delta < 0:
            choice = LotChoice(lot.lot_id, lot.serials) if lot else None
            for part in self.take(spot, -delta, choice):
                self.leave(*part)
            return
        if delta:
            self.check_open(*spot)
        self.arrive(self.receive(spot, lot, delta), delta)

    def _move(self, command: stock.MoveStock, _: object) -> None:
        self.check_open(*command.destination)
        for one, units, serials in self.take(command.source, command.quantity, command.lot):
            self.leave(one, units, serials)
            receipt = LotReceipt(one[2], self.dates[one], serials) if one[2] else None
            self.arrive(self.receive(command.destination, receipt, units), units)

    def _set_policy(self, command: stock.SetStockPolicy, _: object) -> None:
        self.check_open(*command.key)
        if command.backorder_limit is not None:
            if command.backorder_limit < self.waited_for(command.key):
                raise Refused("BACKORDERS_OUTSTANDING")
            self.limit[command.key] = command.backorder_limit
        if command.reorder_point is not None:
            self.reorder[command.key] = command.reorder_point
        if command.safety_stock is not None:
            self.safety[command.key] = command.safety_stock
            left = self.promisable(command.key, use_safety_stock=False)
            for one in filter(self.is_good, self.bins(command.key)):
                units = min(left, self.available(one))
                left -= units
                self.fill(one, units)

    # Promises

    def _find(
        self, lines: tuple[WantedLine, ...], first: Terms, terms: Terms
    ) -> tuple[Counter[Bin], Counter[Spot]]:
        try:
            return Search(self, lines, first).run()
        except Refused as refused:
            if refused.reason != "INSUFFICIENT_STOCK":
                raise
        skus = {(line.sku, line.location_id) for line in lines}
        skus |= {(part, place) for sku, place in skus for part, _ in self.items[sku].components}
        self.expire({(sku, at) for sku, place in skus for at in ([place] if place else self.places)})
        return Search(self, lines, terms).run()

    def _reserve(self, command: reservations.ReserveStock, new_id: UUID) -> None:
        ready, _ = self._find(command.lines, command.terms._replace(partial=False), command.terms)
        self.holds[new_id] = Hold(self.now + command.time_to_live, ready)

    def _pending(self, reservation_id: UUID) -> Hold:
        hold = self.holds.get(reservation_id)
        if hold is None:
            raise Refused("RESERVATION_NOT_FOUND")
        if hold.state == "EXPIRED" or (hold.state == "PENDING" and hold.expires <= self.now):
            raise Refused("RESERVATION_EXPIRED")
        if hold.state != "PENDING":
            raise Refused("RESERVATION_RESOLVED")
        return hold

    def _confirm(self, command: reservations.ConfirmReservation, _: object) -> None:
        hold = self._pending(command.reservation_id)
        taken = self._choose(hold.held, command.lines, "EXCEEDS_RESERVATION")
        rest = +hold.held if command.release_rest else Counter()
        hold.held -= rest
        if not hold.held:
            hold.state = "CONFIRMED"
        for part in taken:
            self.leave(*part)
        for one in sorted(rest):
            self.fill(one, rest[one])

    def _choose(
        self, there: Counter[Bin], lines: Iterable[Any], excess: str
    ) -> list[tuple[Bin, int, tuple[str, ...]]]:
        """Take the lines, or everything, out of what is there, the first to expire first."""
        chosen: list[tuple[Bin, int, tuple[str, ...]]] = []
        if not lines:
            chosen = [(one, there[one], ()) for one in sorted(+there)]
        for line in lines:
            left = line.quantity
            for one in self.bins(line.key):
                if line.lot_id in {"", one[2]} and (units := min(left, there[one])):
                    there[one] -= units
                    left -= units
                    chosen.append((one, units, line.serials))
            if left:
                raise Refused(excess)
        if not lines:
            there.clear()
        return chosen

    def _cancel_hold(self, command: reservations.CancelReservation, _: object) -> None:
        hold = self._pending(command.reservation_id)
        held, hold.held, hold.state = hold.held, Counter(), "CANCELLED"
        for one in sorted(held):
            self.fill(one, held[one])

    def _extend(self, command: reservations.ExtendReservation, _: object) -> None:
        self._pending(command.reservation_id).expires = self.now + command.time_to_live

    # Orders

    def _place(self, command: orders.PlaceOrder, new_id: UUID) -> None:
        counted = []
        for line in command.lines:
            if line.sku not in self.items:
                raise Refused("ITEM_NOT_FOUND")
            if line.sku in self.archived:
                raise Refused("ITEM_ARCHIVED")
            if self.items[line.sku].counted or self.items[line.sku].components:
                counted.append(line)
        first = command.terms._replace(backorder=False)
        found = self._find(tuple(counted), first, command.terms) if counted else (Counter(), Counter())
        self.sales[new_id] = Sale(*found, state="OPEN" if counted else "FULFILLED")

    def _sale(self, order_id: UUID, *, closed: bool = False) -> Sale:
        sale = self.sales.get(order_id)
        if sale is None:
            raise Refused("ORDER_NOT_FOUND")
        if sale.state != "OPEN" and not closed:
            raise Refused("ORDER_CLOSED")
        return sale

    @staticmethod
    def _close(sale: Sale) -> None:
        if not +sale.ready and not +sale.waiting:
            sale.state = "FULFILLED" if sale.shipped else "CANCELLED"

    def _fulfill(self, command: orders.FulfillOrder, _: object) -> None:
        sale = self._sale(command.order_id)
        shipped = self._choose(sale.ready, command.lines, "EXCEEDS_ORDER")
        if not shipped:
            raise Refused("EXCEEDS_ORDER")
        for one, units, serials in shipped:
            self.leave(one, units, serials)
            sale.shipped[one] += units
        self._close(sale)

    def _cancel_sale(self, command: orders.CancelOrder, _: object) -> None:
        sale = self._sale(command.order_id)
        given: list[tuple[Bin, int]] = [] if command.lines else list(sale.ready.items())
        if not command.lines:
            sale.ready, sale.waiting = Counter(), Counter()
        for line in command.lines:
            waiting = min(line.quantity, sale.waiting[line.key])
            sale.waiting[line.key] -= waiting
            rest = line._replace(quantity=line.quantity - waiting)
            given += [(one, n) for one, n, _ in self._choose(sale.ready, [rest], "EXCEEDS_ORDER")]
        self._close(sale)
        for one, units in given:
            self.fill(one, units)

    def _return(self, command: orders.ReturnOrder, _: object) -> None:
        sale = self._sale(command.order_id, closed=True)
        back: list[tuple[orders.ReturnedUnits, str]] = []
        for line in command.lines:
            (self.check_exists if line.write_off_reason else self.check_open)(*line.key)
            sku = line.key.sku
            if line.lot and not self.items[sku].lot_tracked:
                raise Refused("LOT_NOT_TRACKED")
            lots = {one[2] for one in sale.shipped if one[0] == sku}
            if len(lots) > 1 and not line.lot:
                raise Refused("LOT_REQUIRED")
            lot_id = line.lot.lot_id if line.lot else next(iter(lots), "")
            out = sum(n for one, n in sale.shipped.items() if (one[0], one[2]) == (sku, lot_id))
            sale.returned[sku, lot_id] += line.quantity
            if sale.returned[sku, lot_id] > out:
                raise Refused("EXCEEDS_ORDER")
            back.append((line, lot_id))
        for line, lot_id in back:
            receipt = line.lot
            if lot_id:
                receipt = receipt or LotReceipt(lot_id)
                came_from = min(one for one in sale.shipped if (one[0], one[2]) == (line.key.sku, lot_id))
                if (*line.key, lot_id) not in self.dates and not receipt.expiry_date:
                    receipt = receipt._replace(expiry_date=self.dates[came_from])
            one = self.receive(line.key, receipt, line.quantity)
            self.arrive(one, line.quantity, fill=not line.write_off_reason)
            if line.write_off_reason:
                self.leave(one, line.quantity, receipt.serials if receipt else ())

    # Transfers

    def _dispatch(self, command: transfers.DispatchTransfer, new_id: UUID) -> None:
        truck = Truck(command.source_location_id, command.destination_location_id)
        for line in command.lines:
            self.check_open(line.sku, truck.destination)
            parts: list[tuple[Bin, int, tuple[str, ...]]] = [((line.sku, "", ""), line.quantity, ())]
            if truck.source:
                parts = self.take((line.sku, truck.source), line.quantity, line.lot)
            for one, units, serials in parts:
                if truck.source:
                    self.leave(one, units, serials)
                truck.load[line.sku, one[2]] += units
                truck.serials.setdefault((line.sku, one[2]), []).extend(serials)
        self.trucks[new_id] = truck

    def _truck(self, transfer_id: UUID) -> Truck:
        truck = self.trucks.get(transfer_id)
        if truck is None:
            raise Refused("TRANSFER_NOT_FOUND")
        if truck.state != "IN_TRANSIT":
            raise Refused("TRANSFER_RESOLVED")
        return truck

    def _date(self, truck: Truck, sku: str, lot_id: str) -> date | None:
        return self.dates[sku, truck.source, lot_id]

    def _receive(self, command: transfers.ReceiveTransfer, _: object) -> None:
        truck = self._truck(command.transfer_id)
        wanted = [(line.sku, line.lot, line.quantity) for line in command.lines]
        if not command.lines and not command.write_off_reason:
            wanted = [
                (sku, LotReceipt(lot_id) if lot_id else None, units)
                for (sku, lot_id), units in sorted(truck.load.items())
                if units
            ]
        arrivals: list[tuple[str, int, LotReceipt | None, bool]] = []
        for sku, lot, quantity in wanted:
            left = quantity
            for key in sorted(truck.load):
                units = min(left, truck.load[key])
                if not units or key[0] != sku or (key[1] and lot and lot.lot_id != key[1]):
                    continue
                left -= units
                truck.load[key] -= units
                receipt, named = lot, bool(lot and lot.serials)
                if key[1]:
                    serials = self._unload(truck, key, lot.serials if lot else ())
                    receipt = LotReceipt(key[1], self._date(truck, *key), tuple(serials))
                arrivals.append((sku, units, receipt, not named))
            if left:
                raise Refused("EXCEEDS_TRANSFER")
        if command.write_off_reason:
            truck.load.clear()
        if not +truck.load:
            truck.state = "RECEIVED"
        for sku, units, receipt, some in arrivals:
            self.arrive(self.receive((sku, truck.destination), receipt, units, some=some), units)

    @staticmethod
    def _unload(truck: Truck, key: tuple[str, str], named: Iterable[str]) -> list[str]:
        """Return the serials of units that have arrived, which are off the truck's load already."""
        carried, left = truck.serials[key], truck.load[key]
        arrived = list(named)
        if not set(arrived) <= set(carried):
            raise Refused("SERIAL_NOT_FOUND")
        if not arrived and left and len(carried) > left:
            raise Refused("SERIALS_REQUIRED")
        if not arrived and not left:
            arrived = list(carried)
        truck.serials[key] = [number for number in carried if number not in arrived]
        return arrived

    def _call_back(self, command: transfers.CancelTransfer, _: object) -> None:
        truck = self._truck(command.transfer_id)
        load, truck.load, truck.state = +truck.load, Counter(), "CANCELLED"
        for (sku, lot_id), units in sorted(load.items()) if truck.source else ():
            numbers = tuple(truck.serials[sku, lot_id])
            receipt = LotReceipt(lot_id, self._date(truck, sku, lot_id), numbers) if lot_id else None
            self.arrive(self.receive((sku, truck.source), receipt, units, some=True), units)

    # The catalogue

    def _check_item(self, sku: str) -> None:
        if sku not in self.items:
            raise Refused("ITEM_NOT_FOUND")
        if sku in self.archived:
            raise Refused("ITEM_ARCHIVED")

    def _check_place(self, place: str) -> None:
        if place not in self.places:
            raise Refused("LOCATION_NOT_FOUND")

    def _create_item(self, command: catalog.CreateItem, _: object) -> None:
        item = command.item
        if item.sku in self.items:
            raise Refused("ITEM_ALREADY_EXISTS")
        parent = self.items.get(item.parent_sku)
        if item.parent_sku and (parent is None or parent.parent_sku):
            raise Refused("INVALID_PARENT")
        for sku, _each in item.components:
            if sku not in self.items or not self.items[sku].counted or sku in self.archived:
                raise Refused("INVALID_COMPONENT")
        self.items[item.sku] = item

    def _update_item(self, command: catalog.UpdateItem, _: object) -> None:
        self._check_item(command.sku)
        self.edits[command.sku] += 1

    def _archive(self, command: catalog.ArchiveItem, _: object) -> None:
        self._check_item(command.sku)
        spots = [(command.sku, place) for place in self.places]
        if any(n for one, n in self.on_hand.items() if one[0] == command.sku) or any(
            self.waited_for(spot) or self.under_way(spot) for spot in spots
        ):
            raise Refused("ITEM_IN_USE")
        self.archived.add(command.sku)
        self.edits[command.sku] += 1

    def _create_place(self, command: catalog.CreateLocation, _: object) -> None:
        if command.location.location_id in self.places:
            raise Refused("LOCATION_ALREADY_EXISTS")
        self.places[command.location.location_id] = command.location

    def _update_place(self, command: catalog.UpdateLocation, _: object) -> None:
        self._check_place(command.location_id)
        self.edits[command.location_id] += 1

    def _deactivate(self, command: catalog.DeactivateLocation, _: object) -> None:
        self._check_place(command.location_id)
        if command.location_id in self.closed:
            raise Refused("LOCATION_INACTIVE")
        self.closed.add(command.location_id)
        self.edits[command.location_id] += 1
