"""Stock on its way: dispatched from a location or expected from a supplier, received in parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from command_svc.domain import lots
from command_svc.domain.levels import Cause, Level, LevelKey, Quantities, Why
from command_svc.domain.lot import LotChoice, LotKey, LotReceipt, Part
from command_svc.domain.movements import move
from command_svc.domain.refusals import (
    ExceedsTransferError,
    SerialNotFoundError,
    SerialsRequiredError,
    TransferResolvedError,
)
from command_svc.domain.stock import taken
from command_svc.domain.transfer import CANCELLED, IN_TRANSIT, RECEIVED, Transfer, TransferLine

if TYPE_CHECKING:
    from command_svc.domain.transaction import Transaction

REASON = "TRANSFER"


class DispatchedLine(NamedTuple):
    """Units to send: of the lot chosen, or the first to expire."""

    sku: str
    quantity: int
    lot: LotChoice | None = None


@dataclass(frozen=True, slots=True)
class DispatchTransfer:
    """Send `lines`, at least one, from a location, or expect them from a supplier (exactly one is given)."""

    source_location_id: str
    supplier: str
    destination_location_id: str
    lines: tuple[DispatchedLine, ...]
    expected_arrival_time: datetime | None = None
    reference: str = ""


class ArrivedLine(NamedTuple):
    """Units that have arrived; `lot` is theirs where it is not known yet, or tells lots apart."""

    sku: str
    quantity: int
    lot: LotReceipt | None = None


@dataclass(frozen=True, slots=True)
class ReceiveTransfer:
    """Take in `lines`; with a reason, write off the rest, without one, all is meant when they are empty."""

    transfer_id: UUID
    lines: tuple[ArrivedLine, ...] = ()
    write_off_reason: str = ""


@dataclass(frozen=True, slots=True)
class CancelTransfer:
    """Call back what is under way: to the location that it left, if it left one."""

    transfer_id: UUID


class TransferOutcome(NamedTuple):
    """A transfer as a command left it, and the levels that it changed."""

    transfer: Transfer
    levels: tuple[Level, ...]


def dispatch_transfer(transaction: Transaction, command: DispatchTransfer, cause: Cause) -> TransferOutcome:
    """Send units on their way.

    Raises the refusals of `Transaction.open_level` (at the destination), of `lots.take` and
    QuantityOutOfRangeError.
    """
    transfer = Transfer(
        transfer_id=transaction.new_id(),
        state=IN_TRANSIT,
        source_location_id=command.source_location_id,
        supplier=command.supplier,
        destination_location_id=command.destination_location_id,
        lines=(),
        expected_arrival_time=command.expected_arrival_time,
        reference=command.reference,
        actor=cause.actor,
        version=1,
        create_time=transaction.now,
        update_time=transaction.now,
    )
    lines: dict[tuple[str, str], TransferLine] = {}
    for wanted in command.lines:
        transaction.open_level(transfer.destination(wanted.sku))
        for part in _leave(transaction, transfer, wanted, cause):
            line = lines.get((wanted.sku, part.lot_id), TransferLine(wanted.sku, 0, lot_id=part.lot_id))
            lines[wanted.sku, part.lot_id] = line._replace(
                quantity=line.quantity + part.units, serials=line.serials + part.serials
            )
        delta = Quantities(in_transit=wanted.quantity)
        move(transaction, transfer.destination(wanted.sku), delta, _why("EXPECT", transfer, cause))
    transfer = replace(transfer, lines=tuple(lines[key] for key in sorted(lines)))
    transaction.put(transaction.transfers, transfer.transfer_id, transfer)
    return _outcome(transaction, transfer, _ends(transfer, (line.sku for line in transfer.lines)))


def receive_transfer(transaction: Transaction, command: ReceiveTransfer, cause: Cause) -> TransferOutcome:
    """Take in what has arrived, and give up the rest if told why.

    Raises TransferNotFoundError, TransferResolvedError, ExceedsTransferError and the refusals of
    `lots.receive` and `movements.move`.
    """
    transfer = _in_transit(transaction, command.transfer_id)
    lines = list(transfer.lines)
    known = _dates(transaction, transfer)
    arrived = command.lines
    if not arrived and not command.write_off_reason:
        arrived = tuple(
            ArrivedLine(line.sku, line.under_way, _receipt(line, known)) for line in lines if line.under_way
        )
    arrivals: list[tuple[str, int, LotReceipt | None]] = []
    for one in arrived:
        left = one.quantity
        for index, line in enumerate(lines):
            count = min(left, line.under_way) if _matches(line, one) else 0
            if count:
                left -= count
                serials = _arrived(transfer, line, one, count)
                lines[index] = line._replace(
                    received=line.received + count,
                    serials=tuple(number for number in line.serials if number not in serials),
                )
                receipt = _receipt(line, known, serials) or one.lot
                named = one.lot is not None and one.lot.serials
                parts = [(count, receipt)] if named else _apart(count, receipt)
                arrivals += [(one.sku, units, lot) for units, lot in parts]
        if left:
            lot_id = one.lot.lot_id if one.lot else ""
            raise ExceedsTransferError(
                transfer.transfer_id, one.sku, lot_id, one.quantity, one.quantity - left
            )
    lost = [line for line in lines if line.under_way] if command.write_off_reason else []
    if command.write_off_reason:
        lines = [line._replace(written_off=line.written_off + line.under_way, serials=()) for line in lines]
    state = IN_TRANSIT if any(line.under_way for line in lines) else RECEIVED
    transfer = _changed(transaction, transfer, lines, state)
    for sku, count, lot in arrivals:
        key = transfer.destination(sku)
        lot_id = lots.receive(transaction, transaction.level(key), lot, count)
        delta = Quantities(on_hand=count, in_transit=-count)
        move(transaction, key, delta, _why("RECEIVE", transfer, cause), lot_id=lot_id)
    for line in lost:
        why = Why("WRITE_OFF", command.write_off_reason, cause, str(transfer.transfer_id))
        move(transaction, transfer.destination(line.sku), Quantities(in_transit=-line.under_way), why)
    skus = [*(sku for sku, _, _ in arrivals), *(line.sku for line in lost)]
    return _outcome(transaction, transfer, map(transfer.destination, skus))


def cancel_transfer(transaction: Transaction, command: CancelTransfer, cause: Cause) -> TransferOutcome:
    """Call back what is under way.

    Raises TransferNotFoundError, TransferResolvedError and QuantityOutOfRangeError.
    """
    transfer = _in_transit(transaction, command.transfer_id)
    known = _dates(transaction, transfer)
    rest = [line for line in transfer.lines if line.under_way]
    lines = [line._replace(returned=line.returned + line.under_way, serials=()) for line in transfer.lines]
    transfer = _changed(transaction, transfer, lines, CANCELLED)
    why = _why("CANCEL_TRANSFER", transfer, cause)
    for line in rest:
        units = line.under_way
        move(transaction, transfer.destination(line.sku), Quantities(in_transit=-units), why)
        if transfer.source_location_id:
            key = transfer.source(line.sku)
            for count, receipt in _apart(units, _receipt(line, known, line.serials)):
                lots.receive(transaction, transaction.level(key), receipt, count)
                move(transaction, key, Quantities(on_hand=count), why, lot_id=line.lot_id)
    return _outcome(transaction, transfer, _ends(transfer, (line.sku for line in rest)))


def _leave(transaction: Transaction, transfer: Transfer, wanted: DispatchedLine, cause: Cause) -> list[Part]:
    """Take a line's units from the source; return its lots, one without a name if they are not known."""
    if not transfer.source_location_id:
        return [Part("", wanted.quantity)]
    key = transfer.source(wanted.sku)
    parts = taken(transaction, key, wanted.quantity, wanted.lot)
    why = _why("DISPATCH", transfer, cause)
    for part in parts:
        delta = Quantities(on_hand=-part.units)
        move(transaction, key, delta, why, lot_id=part.lot_id, serials=part.serials)
    return parts


def _matches(line: TransferLine, arrived: ArrivedLine) -> bool:
    if line.sku != arrived.sku:
        return False
    return not line.lot_id or arrived.lot is None or arrived.lot.lot_id == line.lot_id


def _arrived(transfer: Transfer, line: TransferLine, arrived: ArrivedLine, count: int) -> tuple[str, ...]:
    """Return the serials of units that have arrived: those named, or all if nothing stays under way."""
    key = transfer.destination(line.sku)
    named = arrived.lot.serials if arrived.lot else ()
    if named and line.lot_id:
        for number in named:
            if number not in line.serials:
                raise SerialNotFoundError(key, number)
        return named
    left = line.under_way - count
    if left and len(line.serials) > left:
        raise SerialsRequiredError(LotKey(*key, line.lot_id), count, len(named))
    return () if left else line.serials


def _dates(transaction: Transaction, transfer: Transfer) -> dict[tuple[str, str], date | None]:
    """Return what is known of the dates of the transfer's lots, by SKU and lot."""
    sources = {LotKey(line.sku, transfer.source_location_id, line.lot_id) for line in transfer.lines}
    return {(key.sku, key.lot_id): lot.expiry_date for key, lot in transaction.lots.items() if key in sources}


def _receipt(
    line: TransferLine, known: dict[tuple[str, str], date | None], serials: tuple[str, ...] = ()
) -> LotReceipt | None:
    if not line.lot_id:
        return None
    return LotReceipt(line.lot_id, known.get((line.sku, line.lot_id)), serials)


def _apart(units: int, receipt: LotReceipt | None) -> list[tuple[int, LotReceipt | None]]:
    """Return the units that are known by their serials and the others, each with its receipt."""
    known = len(receipt.serials) if receipt else 0
    if receipt is None or known in {0, units}:
        return [(units, receipt)]
    return [(known, receipt), (units - known, receipt._replace(serials=()))]


def _in_transit(transaction: Transaction, transfer_id: UUID) -> Transfer:
    transfer = transaction.transfer(transfer_id)
    if transfer.state != IN_TRANSIT:
        raise TransferResolvedError(transfer_id, transfer.state)
    return transfer


def _changed(
    transaction: Transaction, transfer: Transfer, lines: Iterable[TransferLine], state: str
) -> Transfer:
    changed = replace(
        transfer,
        lines=tuple(lines),
        state=state,
        version=transfer.version + 1,
        update_time=transaction.now,
    )
    transaction.put(transaction.transfers, transfer.transfer_id, changed)
    return changed


def _ends(transfer: Transfer, skus: Iterable[str]) -> Iterator[LevelKey]:
    """Yield the levels at both ends of the items, or at the only one."""
    for sku in skus:
        if transfer.source_location_id:
            yield transfer.source(sku)
        yield transfer.destination(sku)


def _outcome(transaction: Transaction, transfer: Transfer, keys: Iterable[LevelKey]) -> TransferOutcome:
    return TransferOutcome(transfer, tuple(transaction.level(key) for key in dict.fromkeys(keys)))


def _why(kind: str, transfer: Transfer, cause: Cause) -> Why:
    return Why(kind, REASON, cause, str(transfer.transfer_id), supplier=transfer.supplier)
