"""Promises for a while: held for somebody until confirmed, given back, or out of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from command_svc.domain.allocation import Terms, WantedLine, find, keys_of
from command_svc.domain.levels import CLOCKWORK, Cause, Level, LevelKey, Quantities, Why
from command_svc.domain.lots import in_order
from command_svc.domain.movements import move
from command_svc.domain.promises import CANCELLED, CONFIRMED, EXPIRED, PENDING, Line, Reservation
from command_svc.domain.refusals import (
    ExceedsReservationError,
    InsufficientStockError,
    ReservationExpiredError,
    ReservationResolvedError,
)
from command_svc.domain.sourcing import Candidate
from command_svc.domain.transaction import OutOfReachError

if TYPE_CHECKING:
    from command_svc.domain.transaction import Transaction

REASON = "RESERVATION"


@dataclass(frozen=True, slots=True)
class ReserveStock:
    """Promise `lines`, at least one."""

    lines: tuple[WantedLine, ...]
    time_to_live: timedelta
    terms: Terms
    channel: str = ""
    reference: str = ""


class ConfirmedLine(NamedTuple):
    """Units to confirm of a level: of one lot, or any that is held; `serials` name each of them, or none."""

    key: LevelKey
    quantity: int
    lot_id: str = ""
    serials: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfirmReservation:
    """Take promised units off the shelf: `lines`, or all that is held when empty."""

    reservation_id: UUID
    lines: tuple[ConfirmedLine, ...] = ()
    release_rest: bool = False


@dataclass(frozen=True, slots=True)
class CancelReservation:
    """Give back what is still held."""

    reservation_id: UUID


@dataclass(frozen=True, slots=True)
class ExtendReservation:
    """Hold until `time_to_live` from now."""

    reservation_id: UUID
    time_to_live: timedelta


class Resolution(NamedTuple):
    """A reservation as a command left it, the levels that it changed, and why they were chosen."""

    reservation: Reservation
    levels: tuple[Level, ...]
    candidates: tuple[Candidate, ...] = ()


def reserve_stock(transaction: Transaction, command: ReserveStock, cause: Cause) -> Resolution:
    """Promise the lines' units, freeing expired holds that are in the way.

    Raises the refusals of `allocation.find`.
    """
    try:
        found = find(transaction, command.lines, command.terms._replace(partial=False))
    except InsufficientStockError:
        free_expired(transaction, keys_of(transaction, command.lines))
        found = find(transaction, command.lines, command.terms)
    reservation = Reservation(
        reservation_id=transaction.new_id(),
        state=PENDING,
        lines=tuple(Line(key, units, lot_id=lot_id) for (key, lot_id), units in sorted(found.ready.items())),
        expire_time=transaction.now + command.time_to_live,
        channel=command.channel,
        reference=command.reference,
        actor=cause.actor,
        version=1,
        create_time=transaction.now,
        update_time=transaction.now,
    )
    _put(transaction, reservation)
    why = _why("RESERVE", reservation, cause)
    for line in reservation.lines:
        move(transaction, line.key, Quantities(reserved=line.quantity), why, lot_id=line.lot_id)
    return Resolution(reservation, _levels(transaction, reservation.lines), tuple(found.candidates))


def confirm_reservation(transaction: Transaction, command: ConfirmReservation, cause: Cause) -> Resolution:
    """Take promised units off the shelf, of several lots the first to expire.

    Raises ReservationNotFoundError, ReservationExpiredError, ReservationResolvedError,
    ExceedsReservationError and the refusals of `lots.change`.
    """
    reservation = _pending(transaction, command.reservation_id)
    lines = list(reservation.lines)
    taken: list[tuple[Line, int, tuple[str, ...]]] = []
    for wanted in command.lines or [ConfirmedLine(one.key, one.held, one.lot_id) for one in lines]:
        left = wanted.quantity
        serials = wanted.serials
        for index in in_order(transaction, lines):
            line = lines[index]
            if line.key == wanted.key and wanted.lot_id in {"", line.lot_id} and (left and line.held):
                units = min(left, line.held)
                left -= units
                taken.append((line, units, serials[:units]))
                serials = serials[units:]
                lines[index] = line._replace(confirmed=line.confirmed + units)
        if left:
            raise ExceedsReservationError(
                reservation.reservation_id, wanted.key, wanted.quantity, wanted.quantity - left
            )
    rest = [line for line in lines if line.held] if command.release_rest else []
    if command.release_rest:
        lines = [line._replace(released=line.released + line.held) for line in lines]
    done = all(line.held == 0 for line in lines)
    resolved = _changed(transaction, reservation, tuple(lines), CONFIRMED if done else PENDING)
    for line, units, serials in taken:
        delta = Quantities(on_hand=-units, reserved=-units)
        why = _why("CONFIRM", resolved, cause)
        move(transaction, line.key, delta, why, lot_id=line.lot_id, serials=serials)
    _release(transaction, rest, _why("RELEASE", resolved, cause))
    return Resolution(resolved, _levels(transaction, [*(line for line, _, _ in taken), *rest]))


def cancel_reservation(transaction: Transaction, command: CancelReservation, cause: Cause) -> Resolution:
    """Give back what is still held.

    Raises ReservationNotFoundError, ReservationExpiredError and ReservationResolvedError.
    """
    reservation = _pending(transaction, command.reservation_id)
    return _give_back(transaction, reservation, CANCELLED, "RELEASE", cause)


def extend_reservation(transaction: Transaction, command: ExtendReservation, cause: Cause) -> Resolution:
    """Give the reservation a new time to live.

    Raises ReservationNotFoundError, ReservationExpiredError and ReservationResolvedError.
    """
    reservation = replace(
        _pending(transaction, command.reservation_id), expire_time=transaction.now + command.time_to_live
    )
    extended = _changed(transaction, reservation, reservation.lines, PENDING)
    transaction.tell_extension(extended, cause)
    return Resolution(extended, ())


def free_expired(transaction: Transaction, keys: Iterable[LevelKey] | None = None) -> int:
    """Give back what expired reservations hold at `keys`, or at all; return how many there were.

    A reservation that holds several levels gives back all of them; OutOfReachError if it was made, and
    expired, too late for all of them to be locked.
    """
    wanted = None if keys is None else set(keys)
    freed = 0
    for reservation in list(transaction.reservations.values()):
        overdue = reservation.state == PENDING and reservation.is_expired(transaction.now)
        if overdue and (wanted is None or any(line.key in wanted for line in reservation.lines if line.held)):
            if any(line.key not in transaction.levels for line in reservation.lines):
                raise OutOfReachError(reservation.reservation_id)
            _give_back(transaction, reservation, EXPIRED, "EXPIRE", CLOCKWORK)
            freed += 1
    return freed


def _pending(transaction: Transaction, reservation_id: UUID) -> Reservation:
    reservation = transaction.reservation(reservation_id)
    if reservation.is_expired(transaction.now):
        raise ReservationExpiredError(reservation_id, reservation.expire_time)
    if reservation.state != PENDING:
        raise ReservationResolvedError(reservation_id, reservation.state)
    return reservation


def _give_back(
    transaction: Transaction, reservation: Reservation, state: str, kind: str, cause: Cause
) -> Resolution:
    rest = [line for line in reservation.lines if line.held]
    lines = tuple(line._replace(released=line.released + line.held) for line in reservation.lines)
    resolved = _changed(transaction, reservation, lines, state)
    _release(transaction, rest, _why(kind, resolved, cause))
    return Resolution(resolved, _levels(transaction, rest))


def _release(transaction: Transaction, lines: Iterable[Line], why: Why) -> None:
    for line in lines:
        move(transaction, line.key, Quantities(reserved=-line.held), why, lot_id=line.lot_id)


def _changed(
    transaction: Transaction, reservation: Reservation, lines: tuple[Line, ...], state: str
) -> Reservation:
    changed = replace(
        reservation,
        lines=lines,
        state=state,
        version=reservation.version + 1,
        update_time=transaction.now,
    )
    _put(transaction, changed)
    return changed


def _put(transaction: Transaction, reservation: Reservation) -> None:
    transaction.put(transaction.reservations, reservation.reservation_id, reservation)


def _why(kind: str, reservation: Reservation, cause: Cause) -> Why:
    return Why(kind, REASON, cause, str(reservation.reservation_id))


def _levels(transaction: Transaction, lines: Iterable[Line]) -> tuple[Level, ...]:
    return tuple(transaction.level(key) for key in dict.fromkeys(line.key for line in lines))
