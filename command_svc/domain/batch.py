"""Deciding what callers ask: requests, alone or in batches, each exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, assert_never
from uuid import UUID

from command_svc.domain import catalog, orders, reservations, stock, transfers
from command_svc.domain.allocation import WantedLine
from command_svc.domain.catalog import (
    ArchiveItem,
    CreateItem,
    CreateLocation,
    DeactivateLocation,
    UpdateItem,
    UpdateLocation,
)
from command_svc.domain.item import Item
from command_svc.domain.levels import Cause, Level, LevelKey
from command_svc.domain.location import Location
from command_svc.domain.lot import LotChoice, LotReceipt
from command_svc.domain.orders import CancelOrder, FulfillOrder, OrderOutcome, PlaceOrder, ReturnOrder
from command_svc.domain.refusals import Refusal, RequestIdReusedError
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
    Resolution,
)
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.domain.transaction import Record, Transaction
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
Verdict = bytes | Refusal
"""The encoded answer of an accepted command, or why it was refused."""


class Stamp(NamedTuple):
    """The transaction that a change is committed in, and the instant it is recorded at."""

    transaction_id: UUID
    record_time: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """One command of a caller.

    `fingerprint` stands for the caller and the whole body; `encode` makes the answer to keep and return,
    without a stamp when nothing will be committed.
    """

    request_id: str
    fingerprint: bytes
    actor: str
    command: Command
    encode: Callable[[Outcome, Stamp | None], bytes]


@dataclass(frozen=True, slots=True)
class Submission:
    """What one call asks: requests in their order, each by itself or all or none (`atomic`)."""

    requests: tuple[Request, ...]
    atomic: bool = False
    validate_only: bool = False


class AtomicRefusalError(Exception):
    """An atomic submission whose request at `index` was refused: nothing of it was carried out."""

    def __init__(self, index: int, refusal: Refusal) -> None:
        super().__init__(f"command {index} was refused: {refusal}")
        self.index = index
        self.refusal = refusal


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


def decide(transaction: Transaction, submission: Submission) -> list[Verdict]:
    """Decide the requests in order, each seeing the accepted ones before it; return a verdict for each.

    Effects and records are left in `transaction`, none of them if the submission only validates. Raises
    AtomicRefusalError, leaving nothing, if it is atomic and one of its requests is refused.
    """
    start = transaction.mark()
    verdicts: list[Verdict] = []
    for verdict in _verdicts(transaction, submission):
        if submission.atomic and isinstance(verdict, Refusal):
            transaction.undo_to(start)
            raise AtomicRefusalError(len(verdicts), verdict)
        verdicts.append(verdict)
    if submission.validate_only:
        transaction.undo_to(start)
    return verdicts


def _verdicts(transaction: Transaction, submission: Submission) -> Iterator[Verdict]:
    stamp = None if submission.validate_only else Stamp(transaction.id, transaction.now)
    for request in submission.requests:
        known = transaction.answer_to(request.request_id)
        if known is not None:
            same = known.fingerprint == request.fingerprint
            yield known.response if same else RequestIdReusedError(request.request_id)
            continue
        before = transaction.mark()
        try:
            outcome = _carry_out(transaction, request)
        except Refusal as refusal:
            # Expired holds that it freed in vain stay for the next command, or the sweeper.
            transaction.undo_to(before)
            yield refusal
            continue
        response = request.encode(outcome, stamp)
        transaction.record(request.request_id, Record(request.fingerprint, response))
        yield response


def _carry_out(  # noqa: C901, PLR0911, PLR0912 - one line a command: the table of all there are
    transaction: Transaction, request: Request
) -> Outcome:
    cause = Cause(request.actor, request.request_id)
    match request.command:
        case AddStock() as command:
            return stock.add_stock(transaction, command, cause)
        case RemoveStock() as command:
            return stock.remove_stock(transaction, command, cause)
        case AdjustStock() as command:
            return stock.adjust_stock(transaction, command, cause)
        case MoveStock() as command:
            return stock.move_stock(transaction, command, cause)
        case SetStockPolicy() as command:
            return stock.set_stock_policy(transaction, command, cause)
        case ReserveStock() as command:
            return reservations.reserve_stock(transaction, command, cause)
        case ConfirmReservation() as command:
            return reservations.confirm_reservation(transaction, command, cause)
        case CancelReservation() as command:
            return reservations.cancel_reservation(transaction, command, cause)
        case ExtendReservation() as command:
            return reservations.extend_reservation(transaction, command)
        case PlaceOrder() as command:
            return orders.place_order(transaction, command, cause)
        case FulfillOrder() as command:
            return orders.fulfill_order(transaction, command, cause)
        case CancelOrder() as command:
            return orders.cancel_order(transaction, command, cause)
        case ReturnOrder() as command:
            return orders.return_order(transaction, command, cause)
        case DispatchTransfer() as command:
            return transfers.dispatch_transfer(transaction, command, cause)
        case ReceiveTransfer() as command:
            return transfers.receive_transfer(transaction, command, cause)
        case CancelTransfer() as command:
            return transfers.cancel_transfer(transaction, command, cause)
        case CreateItem() as command:
            return catalog.create_item(transaction, command)
        case UpdateItem() as command:
            return catalog.update_item(transaction, command)
        case ArchiveItem() as command:
            return catalog.archive_item(transaction, command)
        case CreateLocation() as command:
            return catalog.create_location(transaction, command)
        case UpdateLocation() as command:
            return catalog.update_location(transaction, command)
        case DeactivateLocation() as command:
            return catalog.deactivate_location(transaction, command)
        case other:
            assert_never(other)
