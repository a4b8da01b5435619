"""What transfers do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from uuid import UUID

from command_svc.domain import transfers
from command_svc.domain.lot import LotReceipt
from tests.unit.command_svc.model.shelves import Bin, Refused, Shelves, Truck


class Transfers(Shelves):
    """Units on their way."""

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
