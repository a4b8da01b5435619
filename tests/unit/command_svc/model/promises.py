"""What reservations and orders do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from command_svc.domain import orders, reservations, returns
from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.lot import LotReceipt
from tests.unit.command_svc.model.shelves import Bin, Hold, Refused, Sale, Shelves, Spot
from tests.unit.command_svc.model.sourcing import Search


class Promises(Shelves):
    """Reservations and orders."""

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

    def _return(self, command: returns.ReturnOrder, _: object) -> None:
        sale = self._sale(command.order_id, closed=True)
        back: list[tuple[returns.ReturnedUnits, str]] = []
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
