"""The working set of one transaction: what was locked and read, and what has been decided on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from command_svc.domain.catalog import PHYSICAL, Item, Location
from command_svc.domain.levels import Level, LevelKey, Movement, Quantities
from command_svc.domain.refusals import (
    ItemAlreadyExistsError,
    ItemNotFoundError,
    ItemNotStockedError,
    LocationAlreadyExistsError,
    LocationNotFoundError,
    ReservationNotFoundError,
)
from command_svc.domain.reservations import Reservation
from command_svc.domain.sourcing import Site


class Record(NamedTuple):
    """What has been answered to a request id: the body it came with and the answer it got."""

    fingerprint: bytes
    response: bytes


class Cause(NamedTuple):
    """Who and what is behind a change."""

    actor: str
    request_id: str


@dataclass(slots=True)
class Transaction:
    """Reads of one transaction and the effects decided so far.

    `now` is the clock of the database, read after the locks were granted, so that it never runs
    backwards along a level's versions. `kinds` and `location_ids` are the items and locations known to
    exist; an item or location of an existing level need not be among them. `sites` are the locations
    that may serve units without a location. Every reservation's levels are among `levels`.
    """

    id: UUID
    now: datetime
    levels: dict[LevelKey, Level] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    location_ids: set[str] = field(default_factory=set)
    sites: Mapping[str, Site] = field(default_factory=dict)
    reservations: dict[UUID, Reservation] = field(default_factory=dict)
    answered: Mapping[str, Record] = field(default_factory=dict)
    movements: list[Movement] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    locations: list[Location] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    _levels_before: dict[LevelKey, Level] = field(default_factory=dict)
    _reservations_before: dict[UUID, Reservation | None] = field(default_factory=dict)
    _undo: list[Callable[[], object]] = field(default_factory=list)
    _ids: int = 0

    def level(self, key: LevelKey) -> Level:
        """Return the level as decided so far, one of version 0 if it has no entry yet.

        Raises ItemNotFoundError, ItemNotStockedError or LocationNotFoundError.
        """
        level = self.levels.get(key)
        if level is not None:
            return level
        self.check_stocked(key.sku)
        if key.location_id not in self.location_ids:
            raise LocationNotFoundError(key.location_id)
        return Level(key)

    def check_stocked(self, sku: str) -> None:
        """Raise ItemNotFoundError or ItemNotStockedError unless the item can have stock."""
        kind = self.kinds.get(sku)
        if kind is None:
            raise ItemNotFoundError(sku)
        if kind != PHYSICAL:
            raise ItemNotStockedError(sku, kind)

    def reservation(self, reservation_id: UUID) -> Reservation:
        """Return the reservation as decided so far; raises ReservationNotFoundError."""
        reservation = self.reservations.get(reservation_id)
        if reservation is None:
            raise ReservationNotFoundError(reservation_id)
        return reservation

    def new_id(self) -> UUID:
        """Return an id that no other transaction gives: this one's, counted on."""
        self._ids += 1
        return UUID(int=self.id.int + self._ids)

    def move(  # noqa: PLR0913, PLR0917 - an entry has this many facts
        self,
        level: Level,
        delta: Quantities,
        kind: str,
        reason: str,
        cause: Cause,
        reference: str,
        occur_time: datetime | None,
    ) -> Level:
        """Enter one change of `level`, as `self.level` returned it; return the level it leads to."""
        return self.enter(level.changed(delta, self.now), delta, kind, reason, cause, reference, occur_time)

    def enter(  # noqa: PLR0913, PLR0917 - an entry has this many facts
        self,
        result: Level,
        delta: Quantities,
        kind: str,
        reason: str,
        cause: Cause,
        reference: str = "",
        occur_time: datetime | None = None,
    ) -> Level:
        """Enter that a level has become `result`, its next version; return `result`."""
        key = result.key
        before = self.levels.get(key)
        self._levels_before.setdefault(key, before or Level(key))
        self.levels[key] = result
        self.movements.append(
            Movement(
                kind, reason, delta, result, cause.actor, reference, cause.request_id, occur_time or self.now
            )
        )
        self._undo.append(lambda: _restore(self.levels, key, before))
        self._undo.append(self.movements.pop)
        return result

    def put_reservation(self, reservation: Reservation) -> None:
        """Enter that a reservation is new or has changed."""
        key = reservation.reservation_id
        before = self.reservations.get(key)
        self._reservations_before.setdefault(key, before)
        self.reservations[key] = reservation
        self._undo.append(lambda: _restore(self.reservations, key, before))

    def add_item(self, item: Item) -> Item:
        """Enter a new item; raises ItemAlreadyExistsError."""
        if item.sku in self.kinds:
            raise ItemAlreadyExistsError(item.sku)
        created = replace(item, create_time=self.now, update_time=self.now)
        self.kinds[item.sku] = item.kind
        self.items.append(created)
        self._undo.append(self.items.pop)
        self._undo.append(lambda: self.kinds.pop(item.sku))
        return created

    def add_location(self, location: Location) -> Location:
        """Enter a new location; raises LocationAlreadyExistsError."""
        if location.location_id in self.location_ids:
            raise LocationAlreadyExistsError(location.location_id)
        created = replace(location, create_time=self.now, update_time=self.now)
        self.location_ids.add(location.location_id)
        self.locations.append(created)
        self._undo.append(self.locations.pop)
        self._undo.append(lambda: self.location_ids.remove(location.location_id))
        return created

    def record(self, request_id: str, record: Record) -> None:
        """Enter what was answered to a request, to be committed with its effects."""
        self.records[request_id] = record
        self._undo.append(lambda: self.records.pop(request_id))

    def answer_to(self, request_id: str) -> Record | None:
        """Return what this or an earlier transaction answered to the request id."""
        return self.records.get(request_id) or self.answered.get(request_id)

    def mark(self) -> int:
        """Return the present place, for `undo_to`."""
        return len(self._undo)

    def undo_to(self, mark: int) -> None:
        """Take back everything entered since `mark`, the last first."""
        while len(self._undo) > mark:
            self._undo.pop()()

    @property
    def clockwork(self) -> Cause:
        """The cause of what nobody asked for: time has run out."""
        return Cause("inventory", "")

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands decided, so that there is nothing to commit."""
        return not self._undo

    def changed_levels(self) -> Iterable[tuple[Level, Level]]:
        """Yield each changed level once, as it was before this transaction and as it is after it."""
        for key, before in self._levels_before.items():
            after = self.levels.get(key)
            if after is not None and after.version != before.version:
                yield before, after

    def changed_reservations(self) -> Iterable[tuple[Reservation | None, Reservation]]:
        """Yield each changed reservation once, as it was (None: new) and as it is."""
        for key, before in self._reservations_before.items():
            after = self.reservations.get(key)
            if after is not None and after is not before:
                yield before, after


K = TypeVar("K")
V = TypeVar("V")


def _restore(entries: dict[K, V], key: K, before: V | None) -> None:
    if before is None:
        del entries[key]
    else:
        entries[key] = before
