"""Deciding what callers ask: requests, alone or in batches, each exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, assert_never
from uuid import UUID

from command_svc.domain import catalog, orders, reservations, returns, stock, territory, transfers
from command_svc.domain.catalog import (
    ArchiveItem,
    CreateItem,
    CreateLocation,
    DeactivateLocation,
    UpdateItem,
    UpdateLocation,
)
from command_svc.domain.commands import Command, Outcome
from command_svc.domain.levels import Cause
from command_svc.domain.orders import CancelOrder, FulfillOrder, PlaceOrder
from command_svc.domain.refusals import Refusal, RequestIdReusedError
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
)
from command_svc.domain.returns import ReturnOrder
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.domain.trail import UNKNOWN, Accepted, Trail
from command_svc.domain.transaction import Record, Transaction
from command_svc.domain.transfers import (
    CancelTransfer,
    DispatchTransfer,
    ReceiveTransfer,
)

Verdict = bytes | Refusal
"""The encoded answer of an accepted command, or why it was refused."""


class Stamp(NamedTuple):
    """The transaction that a change is committed in, the instant it is recorded at, and where."""

    transaction_id: UUID
    record_time: datetime
    installation_id: UUID


@dataclass(frozen=True, slots=True)
class Request:
    """One command of a caller.

    `fingerprint` stands for the caller and the whole body; `encode` makes the answer to keep and return,
    without a stamp when nothing will be committed. `locations` are those that the caller is bound to, None
    if to none: what the command leads to elsewhere is refused. `trail` is for the audit log.
    """

    request_id: str
    fingerprint: bytes
    actor: str
    command: Command
    encode: Callable[[Outcome, Stamp | None], bytes]
    locations: frozenset[str] | None = None
    trail: Trail = UNKNOWN


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
    stamp = None
    if not submission.validate_only:
        stamp = Stamp(transaction.id, transaction.now, transaction.installation_id)
    for request in submission.requests:
        known = transaction.answer_to(request.request_id)
        if known is not None:
            same = known.fingerprint == request.fingerprint
            yield known.response if same else RequestIdReusedError(request.request_id)
            continue
        before, moved = transaction.mark(), len(transaction.movements)
        try:
            outcome = _carry_out(transaction, request)
            if request.locations is not None:
                territory.hold(transaction.movements[moved:], request.locations)
        except Refusal as refusal:
            # Expired holds that it freed in vain stay for the next command, or the sweeper.
            transaction.undo_to(before)
            yield refusal
            continue
        response = request.encode(outcome, stamp)
        trail = request.trail.with_touched(transaction.movements[moved:])
        accepted = Accepted(request.request_id, request.actor, trail)
        transaction.record(accepted, Record(request.fingerprint, response))
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
            return reservations.extend_reservation(transaction, command, cause)
        case PlaceOrder() as command:
            return orders.place_order(transaction, command, cause)
        case FulfillOrder() as command:
            return orders.fulfill_order(transaction, command, cause)
        case CancelOrder() as command:
            return orders.cancel_order(transaction, command, cause)
        case ReturnOrder() as command:
            return returns.return_order(transaction, command, cause)
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
