"""Every command there is, and what each leads to."""

from __future__ import annotations

from command_svc.domain.catalog import (
    ArchiveItem,
    CreateItem,
    CreateLocation,
    DeactivateLocation,
    UpdateItem,
    UpdateLocation,
)
from command_svc.domain.item import Item
from command_svc.domain.levels import Level
from command_svc.domain.location import Location
from command_svc.domain.orders import CancelOrder, FulfillOrder, OrderOutcome, PlaceOrder
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
    Resolution,
)
from command_svc.domain.returns import ReturnOrder
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.domain.transfers import (
    CancelTransfer,
    DispatchTransfer,
    ReceiveTransfer,
    TransferOutcome,
)

StockCommand = AddStock | RemoveStock | AdjustStock | MoveStock | SetStockPolicy
ReservationCommand = ReserveStock | ConfirmReservation | CancelReservation | ExtendReservation
OrderCommand = PlaceOrder | FulfillOrder | CancelOrder | ReturnOrder
TransferCommand = DispatchTransfer | ReceiveTransfer | CancelTransfer
CatalogCommand = CreateItem | UpdateItem | ArchiveItem | CreateLocation | UpdateLocation | DeactivateLocation
Command = StockCommand | ReservationCommand | OrderCommand | TransferCommand | CatalogCommand
Outcome = Level | tuple[Level, Level] | Resolution | OrderOutcome | TransferOutcome | Item | Location
