"""Promises: units held for somebody until they are confirmed, given back, or their time runs out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from command_svc.domain.levels import Level, LevelKey, Quantities
from command_svc.domain.refusals import (
    ExceedsReservationError,
    InsufficientStockError,
    ReservationExpiredError,
    ReservationResolvedError,
)
from command_svc.domain.sourcing import Strategy, allocate

if TYPE_CHECKING:
    from command_svc.domain.transaction import Cause, Transaction

PENDING, CONFIRMED, CANCELLED, EXPIRED = "PENDING", "CONFIRMED", "CANCELLED", "EXPIRED"
REASON = "RESERVATION"
SINGLE_LOCATION = Strategy("SINGLE_LOCATION")


class Line(NamedTuple):
    """What a reservation holds, or held, at one level."""

    key: LevelKey
    quantity: int
    confirmed: int = 0
    released: int = 0

    @property
    def held(self) -> int:
        """Units that are neither confirmed nor given back."""
        return self.quantity - self.confirmed - self.released


@dataclass(frozen=True, slots=True)
class Reservation:
    """A promise: pending, then exactly once confirmed, cancelled or expired. Each level is in one line."""

    reservation_id: UUID
    state: str
    lines: tuple[Line, ...]
    expire_time: datetime
    channel: str
    reference: str
    actor: str
    version: int
    create_time: datetime
    update_time: datetime

    def is_expired(self, now: datetime) -> bool:
        """Tell whether it holds nothing any more because its time has run out."""
        return self.state == EXPIRED or (self.state == PENDING and self.expire_time <= now)


class WantedLine(NamedTuple):
    """Units asked for: at one location, or (None) wherever the strategy finds them."""

    sku: str
    location_id: str | None
    quantity: int


@dataclass(frozen=True, slots=True)
class ReserveStock:
    """Promise `lines`, at least one."""

    lines: tuple[WantedLine, ...]
    time_to_live: timedelta
    allow_partial: bool = False
    use_safety_stock: bool = False
    strategy: Strategy = SINGLE_LOCATION
    channel: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class ConfirmReservation:
    """Take promised units off the shelf: `units` by level, or all that is held when empty."""

    reservation_id: UUID
    units: Mapping[LevelKey, int]
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
    """A reservation as a command left it, with the levels that the command changed."""

    reservation: Reservation
    levels: tuple[Level, ...]


def reserve_stock(transaction: Transaction, command: ReserveStock, cause: Cause) -> Resolution:
    """Promise the lines' units; lines that share a level are summed before they are judged.

    Raises the refusals of `Transaction.level` and InsufficientStockError.
    """
    fixed: Counter[LevelKey] = Counter()
    sourced: Counter[str] = Counter()
    for line in command.lines:
        if line.location_id is None:
            sourced[line.sku] += line.quantity
        else:
            fixed[LevelKey(line.sku, line.location_id)] += line.quantity
    grants = _grant_fixed(transaction, command, fixed)
    grants.update(_grant_sourced(transaction, command, sourced, grants))
    reservation = Reservation(
        reservation_id=transaction.new_id(),
        state=PENDING,
        lines=tuple(Line(key, units) for key, units in sorted(grants.items()) if units),
        expire_time=transaction.now + command.time_to_live,
        channel=command.channel,
        reference=command.reference,
        actor=cause.actor,
        version=1,
        create_time=transaction.now,
        update_time=transaction.now,
    )
    if not reservation.lines:
        wanted = command.lines[0]
        raise InsufficientStockError(LevelKey(wanted.sku, wanted.location_id or ""), wanted.quantity, 0)
    moved = {line.key: Quantities(reserved=line.quantity) for line in reservation.lines}
    return _enter(transaction, reservation, moved, "RESERVE", cause)


def confirm_reservation(transaction: Transaction, command: ConfirmReservation, cause: Cause) -> Resolution:
    """Take promised units off the shelf.

    Raises ReservationNotFoundError, ReservationExpiredError, ReservationResolvedError and
    ExceedsReservationError.
    """
    reservation = _pending(transaction, command.reservation_id)
    held = {line.key: line.held for line in reservation.lines}
    units = dict(command.units) or held
    for key, count in units.items():
        if count > held.get(key, 0):
            raise ExceedsReservationError(reservation.reservation_id, key, count, held.get(key, 0))
    lines = tuple(
        line._replace(
            confirmed=line.confirmed + units.get(line.key, 0),
            released=line.released + (line.held - units.get(line.key, 0) if command.release_rest else 0),
        )
        for line in reservation.lines
    )
    taken = {key: Quantities(on_hand=-count, reserved=-count) for key, count in units.items() if count}
    done = all(line.held == 0 for line in lines)
    resolved = _changed(transaction, reservation, lines, CONFIRMED if done else PENDING)
    resolution = _enter(transaction, resolved, taken, "CONFIRM", cause)
    if not command.release_rest:
        return resolution
    rest = {
        key: Quantities(reserved=units.get(key, 0) - count)
        for key, count in held.items()
        if count > units.get(key, 0)
    }
    levels = {level.key: level for level in resolution.levels}
    levels.update({level.key: level for level in _move(transaction, resolved, rest, "RELEASE", cause)})
    return Resolution(resolved, tuple(levels.values()))


def cancel_reservation(transaction: Transaction, command: CancelReservation, cause: Cause) -> Resolution:
    """Give back what is still held.

    Raises ReservationNotFoundError, ReservationExpiredError and ReservationResolvedError.
    """
    reservation = _pending(transaction, command.reservation_id)
    return _give_back(transaction, reservation, CANCELLED, "RELEASE", cause)


def extend_reservation(transaction: Transaction, command: ExtendReservation) -> Resolution:
    """Give the reservation a new time to live.

    Raises ReservationNotFoundError, ReservationExpiredError and ReservationResolvedError.
    """
    reservation = _pending(transaction, command.reservation_id)
    extended = replace(
        _changed(transaction, reservation, reservation.lines, PENDING),
        expire_time=transaction.now + command.time_to_live,
    )
    transaction.put_reservation(extended)
    return Resolution(extended, ())


def free_expired(transaction: Transaction, keys: Iterable[LevelKey] | None = None) -> int:
    """Give back what expired reservations hold at `keys`, or at all; return how many there were.

    A reservation that holds several levels gives back all of them.
    """
    wanted = None if keys is None else set(keys)
    freed = 0
    for reservation in list(transaction.reservations.values()):
        overdue = reservation.state == PENDING and reservation.is_expired(transaction.now)
        if overdue and (wanted is None or any(line.key in wanted for line in reservation.lines if line.held)):
            _give_back(transaction, reservation, EXPIRED, "EXPIRE", transaction.clockwork)
            freed += 1
    return freed


def _grant_fixed(
    transaction: Transaction, command: ReserveStock, demand: Mapping[LevelKey, int]
) -> dict[LevelKey, int]:
    grants: dict[LevelKey, int] = {}
    for key, wanted in demand.items():
        free = _free(transaction.level(key), command)
        if wanted > free:
            free_expired(transaction, [key])
            free = _free(transaction.level(key), command)
        if wanted > free and not command.allow_partial:
            raise InsufficientStockError(key, wanted, free)
        grants[key] = min(wanted, free)
    return grants


def _grant_sourced(
    transaction: Transaction,
    command: ReserveStock,
    demand: Mapping[str, int],
    granted: Mapping[LevelKey, int],
) -> dict[LevelKey, int]:
    if not demand:
        return {}
    for sku in demand:
        transaction.check_stocked(sku)
    free_expired(transaction, [key for key in transaction.levels if key.sku in demand])
    free: dict[str, dict[str, int]] = defaultdict(dict)
    for key, level in transaction.levels.items():
        if key.sku in demand and key.location_id in transaction.sites:
            free[key.location_id][key.sku] = _free(level, command) - granted.get(key, 0)
    allocation = allocate(demand, free, transaction.sites.values(), command.strategy)
    served: Counter[str] = Counter()
    for (sku, _), units in allocation.items():
        served[sku] += units
    for sku, wanted in demand.items():
        if served[sku] < wanted and not command.allow_partial:
            raise InsufficientStockError(LevelKey(sku, ""), wanted, served[sku])
    return {
        LevelKey(sku, location_id): units + granted.get(LevelKey(sku, location_id), 0)
        for (sku, location_id), units in allocation.items()
    }


def _free(level: Level, command: ReserveStock) -> int:
    return level.available if command.use_safety_stock else level.sellable


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
    rest = {line.key: Quantities(reserved=-line.held) for line in reservation.lines if line.held}
    lines = tuple(line._replace(released=line.released + line.held) for line in reservation.lines)
    return _enter(transaction, _changed(transaction, reservation, lines, state), rest, kind, cause)


def _changed(
    transaction: Transaction, reservation: Reservation, lines: tuple[Line, ...], state: str
) -> Reservation:
    return replace(
        reservation,
        lines=lines,
        state=state,
        version=reservation.version + 1,
        update_time=transaction.now,
    )


def _enter(
    transaction: Transaction,
    reservation: Reservation,
    deltas: Mapping[LevelKey, Quantities],
    kind: str,
    cause: Cause,
) -> Resolution:
    transaction.put_reservation(reservation)
    return Resolution(reservation, tuple(_move(transaction, reservation, deltas, kind, cause)))


def _move(
    transaction: Transaction,
    reservation: Reservation,
    deltas: Mapping[LevelKey, Quantities],
    kind: str,
    cause: Cause,
) -> list[Level]:
    reference = str(reservation.reservation_id)
    return [
        transaction.move(transaction.level(key), delta, kind, REASON, cause, reference, None)
        for key, delta in deltas.items()
    ]
