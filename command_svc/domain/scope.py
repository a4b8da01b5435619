"""What a transaction must lock and read, told from the commands alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never
from uuid import UUID

from command_svc.domain.allocation import WantedLine
from command_svc.domain.batch import Submission
from command_svc.domain.catalog import (
    ArchiveItem,
    CreateItem,
    CreateLocation,
    DeactivateLocation,
    UpdateItem,
    UpdateLocation,
)
from command_svc.domain.commands import Command
from command_svc.domain.levels import LevelKey
from command_svc.domain.lot import LotChoice, LotReceipt
from command_svc.domain.orders import CancelOrder, FulfillOrder, PlaceOrder
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
)
from command_svc.domain.returns import ReturnOrder
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.domain.transfers import (
    CancelTransfer,
    DispatchTransfer,
    ReceiveTransfer,
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a transaction must lock and read before its submissions can be decided.

    Locking an item's level that does not exist is no trouble: it is in reach then, and comes into being.
    """

    levels: set[LevelKey] = field(default_factory=set)
    # Items at all their locations: asked for without one, or to be archived.
    everywhere: set[str] = field(default_factory=set)
    # Items of which units are taken: what expired reservations hold of them may be in the way.
    taken: set[str] = field(default_factory=set)
    # Items that may be bundles, at a location: their components are meant.
    bundles: set[LevelKey] = field(default_factory=set)
    # Items whose facts are needed though their levels may exist.
    facts: set[str] = field(default_factory=set)
    # Items and locations that may be created or changed.
    items: set[str] = field(default_factory=set)
    locations: set[str] = field(default_factory=set)
    reservations: set[UUID] = field(default_factory=set)
    orders: set[UUID] = field(default_factory=set)
    transfers: set[UUID] = field(default_factory=set)
    # Lots that are named: needed even if they hold nothing.
    lots: set[str] = field(default_factory=set)
    serials: set[tuple[str, str]] = field(default_factory=set)
    requests: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, submissions: Iterable[Submission]) -> Scope:
        """Return what all of `submissions` touch together."""
        scope = cls()
        for submission in submissions:
            for request in submission.requests:
                scope.requests.add(request.request_id)
                scope.add(request.command)
        return scope

    def add(self, command: Command) -> None:  # noqa: C901, PLR0912, PLR0915 - the table of all there are
        """Add what one command touches."""
        match command:
            case AddStock() | AdjustStock():
                self._level(command.key, command.lot)
                if isinstance(command, AdjustStock):
                    self.taken.add(command.key.sku)
            case SetStockPolicy():
                self.levels.add(command.key)
            case RemoveStock():
                self._level(command.key, command.lot)
                self.taken.add(command.key.sku)
            case MoveStock():
                self.levels.add(command.destination)
                self._level(command.source, command.lot)
                self.taken.add(command.source.sku)
            case ReserveStock() | PlaceOrder():
                self._lines(command.lines)
            case ConfirmReservation():
                self.reservations.add(command.reservation_id)
                for confirmed in command.lines:
                    self._level(confirmed.key, LotChoice(confirmed.lot_id, confirmed.serials))
            case CancelReservation() | ExtendReservation():
                self.reservations.add(command.reservation_id)
            case FulfillOrder() | CancelOrder():
                self.orders.add(command.order_id)
                for units in command.lines:
                    self._level(units.key, LotChoice(units.lot_id, units.serials))
            case ReturnOrder():
                self.orders.add(command.order_id)
                for returned in command.lines:
                    self._level(returned.key, returned.lot)
            case DispatchTransfer():
                for sent in command.lines:
                    self.levels.add(LevelKey(sent.sku, command.destination_location_id))
                    if command.source_location_id:
                        self._level(LevelKey(sent.sku, command.source_location_id), sent.lot)
                        self.taken.add(sent.sku)
            case ReceiveTransfer():
                self.transfers.add(command.transfer_id)
                for arrived in command.lines:
                    self._lot(arrived.sku, arrived.lot)
            case CancelTransfer():
                self.transfers.add(command.transfer_id)
            case CreateItem():
                self.items.add(command.item.sku)
                self.facts.update((command.item.sku, command.item.parent_sku))
                self.facts.update(sku for sku, _ in command.item.components)
            case UpdateItem():
                self.items.add(command.sku)
            case ArchiveItem():
                self.items.add(command.sku)
                self.everywhere.add(command.sku)
            case CreateLocation():
                self.locations.add(command.location.location_id)
            case UpdateLocation() | DeactivateLocation():
                self.locations.add(command.location_id)
            case other:
                assert_never(other)

    def _level(self, key: LevelKey, lot: LotChoice | LotReceipt | None) -> None:
        self.levels.add(key)
        self._lot(key.sku, lot)

    def _lot(self, sku: str, lot: LotChoice | LotReceipt | None) -> None:
        if lot is not None:
            if lot.lot_id:
                self.lots.add(lot.lot_id)
            self.serials.update((sku, number) for number in lot.serials)

    def _lines(self, lines: Iterable[WantedLine]) -> None:
        for line in lines:
            self.facts.add(line.sku)
            self.taken.add(line.sku)
            if line.location_id is None:
                self.everywhere.add(line.sku)
            else:
                self.bundles.add(LevelKey(line.sku, line.location_id))
                self._level(LevelKey(line.sku, line.location_id), LotChoice(line.lot_id))
