"""What each command does, or why it must be refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from command_svc.domain import catalog, orders, reservations, returns, stock, transfers
from command_svc.domain.commands import Command
from tests.unit.command_svc.model.catalog import Catalog
from tests.unit.command_svc.model.promises import Promises
from tests.unit.command_svc.model.shelves import Refused
from tests.unit.command_svc.model.stock import Stock
from tests.unit.command_svc.model.transfers import Transfers

STALE = 999
"""A version that nothing ever has."""


class Model(Stock, Promises, Transfers, Catalog):
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
            returns.ReturnOrder: self._return,
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
