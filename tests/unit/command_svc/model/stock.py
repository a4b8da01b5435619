"""What commands on stock do."""

from __future__ import annotations

from command_svc.domain import stock
from command_svc.domain.lot import LotChoice, LotReceipt
from tests.unit.command_svc.model.shelves import Refused, Shelves


class Stock(Shelves):
    """Adds, removes, adjusts, moves, and how levels are kept."""

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
