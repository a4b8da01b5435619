"""Deciding what callers ask: requests, alone or in batches, each exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, assert_never
from uuid import UUID

from command_svc.domain import catalog, reservations, stock
from command_svc.domain.catalog import CreateItem, CreateLocation, Item, Location
from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.refusals import Refusal, RequestIdReusedError
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
    Resolution,
)
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.domain.transaction import Cause, Record, Transaction

StockCommand = AddStock | RemoveStock | AdjustStock | MoveStock | SetStockPolicy
ReservationCommand = ReserveStock | ConfirmReservation | CancelReservation | ExtendReservation
Command = StockCommand | ReservationCommand | CreateItem | CreateLocation
Outcome = Level | tuple[Level, Level] | Resolution | Item | Location
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
    """What a transaction must lock and read before its submissions can be decided."""

    levels: set[LevelKey] = field(default_factory=set)
    skus: set[str] = field(default_factory=set)
    location_ids: set[str] = field(default_factory=set)
    reservation_ids: set[UUID] = field(default_factory=set)
    request_ids: set[str] = field(default_factory=set)
    # Items of which units are taken: what expired reservations hold of them may be in the way.
    taken_skus: set[str] = field(default_factory=set)
    # Items that are asked for without a location: all their levels are candidates.
    sourced_skus: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, submissions: Iterable[Submission]) -> Scope:
        """Return what all of `submissions` touch together."""
        scope = cls()
        for submission in submissions:
            for request in submission.requests:
                scope.request_ids.add(request.request_id)
                scope.add(request.command)
        return scope

    def add(self, command: Command) -> None:
        """Add what one command touches."""
        match command:
            case AddStock() | SetStockPolicy():
                self.levels.add(command.key)
            case RemoveStock() | AdjustStock():
                self.levels.add(command.key)
                self.taken_skus.add(command.key.sku)
            case MoveStock():
                self.levels.update((command.source, command.destination))
                self.taken_skus.add(command.source.sku)
            case ReserveStock():
                for line in command.lines:
                    self.taken_skus.add(line.sku)
                    if line.location_id is None:
                        self.sourced_skus.add(line.sku)
                    else:
                        self.levels.add(LevelKey(line.sku, line.location_id))
            case ConfirmReservation() | CancelReservation() | ExtendReservation():
                self.reservation_ids.add(command.reservation_id)
            case CreateItem():
                self.skus.add(command.item.sku)
            case CreateLocation():
                self.location_ids.add(command.location.location_id)
            case other:
                assert_never(other)


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


def _carry_out(  # noqa: C901, PLR0911 - one line a command: the table of all there are
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
        case CreateItem() as command:
            return catalog.create_item(transaction, command)
        case CreateLocation() as command:
            return catalog.create_location(transaction, command)
        case other:
            assert_never(other)
