"""The working set of one transaction: what was locked and read, and what has been decided on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from command_svc.domain.item import ARCHIVED, Facts, Item
from command_svc.domain.levels import Cause, Level, LevelKey, Movement, Quantities, Why
from command_svc.domain.location import Location
from command_svc.domain.lot import Lot, LotKey, Serial
from command_svc.domain.promises import Extension, Order, Reservation
from command_svc.domain.refusals import (
    ItemArchivedError,
    ItemNotFoundError,
    ItemNotStockedError,
    LocationInactiveError,
    LocationNotFoundError,
    OrderNotFoundError,
    ReservationNotFoundError,
    TransferNotFoundError,
)
from command_svc.domain.sourcing import Site
from command_svc.domain.trail import Accepted
from command_svc.domain.transfer import Transfer

K = TypeVar("K")
V = TypeVar("V")


class Rows(dict[K, V], Generic[K, V]):
    """Rows of one kind by their keys, as decided so far; `before` holds those that were changed as read."""

    def __init__(self, rows: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        super().__init__(rows)
        self.before: dict[K, V | None] = {}

    def changed(self) -> Iterable[tuple[V | None, V]]:
        """Yield each changed row once, as it was before this transaction (None: new) and as it is after."""
        for key, before in self.before.items():
            after = self.get(key)
            if after is not None and after is not before:
                yield before, after

    def restore(self, key: K, row: V | None) -> None:
        """Set a row back to what it was."""
        if row is None:
            del self[key]
        else:
            self[key] = row


class Record(NamedTuple):
    """What has been answered to a request id: the body it came with and the answer it got."""

    fingerprint: bytes
    response: bytes


class OutOfReachError(Exception):
    """A decision needs what was not locked, because it came into being in the same transaction.

    Decided in a transaction of its own, the command finds it.
    """


@dataclass(slots=True)
class Transaction:
    """Reads of one transaction and the effects decided so far.

    `installation_id` names the database. `now` is its clock, read after the locks were granted, so that
    it never runs backwards along a level's versions. `facts` and `location_ids` are the items and
    locations known to exist; an item or location of an existing level need not be among them, so
    `archived` and `inactive` name those that take nothing new. `reach` are the levels that would have
    been locked had they existed. `sites` are the locations that may serve units without a location.
    Every level of a reservation, order or transfer is among `levels`, and so is every order that waits
    at one of them among `orders`.
    """

    id: UUID
    now: datetime
    installation_id: UUID
    levels: Rows[LevelKey, Level] = field(default_factory=Rows)
    reach: set[LevelKey] = field(default_factory=set)
    facts: dict[str, Facts] = field(default_factory=dict)
    archived: set[str] = field(default_factory=set)
    location_ids: set[str] = field(default_factory=set)
    inactive: set[str] = field(default_factory=set)
    sites: Mapping[str, Site] = field(default_factory=dict)
    items: Rows[str, Item] = field(default_factory=Rows)
    locations: Rows[str, Location] = field(default_factory=Rows)
    lots: Rows[LotKey, Lot] = field(default_factory=Rows)
    serials: Rows[tuple[str, str], Serial] = field(default_factory=Rows)
    reservations: Rows[UUID, Reservation] = field(default_factory=Rows)
    orders: Rows[UUID, Order] = field(default_factory=Rows)
    transfers: Rows[UUID, Transfer] = field(default_factory=Rows)
    answered: Mapping[str, Record] = field(default_factory=dict)
    movements: list[Movement] = field(default_factory=list)
    extensions: list[Extension] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    accepted: list[Accepted] = field(default_factory=list)
    _undo: list[Callable[[], object]] = field(default_factory=list)
    _ids: int = 0

    def level(self, key: LevelKey) -> Level:
        """Return the level as decided so far, one of version 0 if it has no entry yet.

        Raises ItemNotFoundError, ItemNotStockedError or LocationNotFoundError.
        """
        level = self.levels.get(key)
        if level is not None:
            return level
        facts = self.stocked(key.sku)
        if key.location_id not in self.location_ids:
            raise LocationNotFoundError(key.location_id)
        if key not in self.reach:
            raise OutOfReachError(key)
        return Level(key, lot_tracked=facts.lot_tracked)

    def open_level(self, key: LevelKey) -> Level:
        """Return the level, which is to take new stock or promises.

        Raises the refusals of `level`, ItemArchivedError and LocationInactiveError.
        """
        level = self.level(key)
        if key.sku in self.archived:
            raise ItemArchivedError(key.sku)
        if key.location_id in self.inactive:
            raise LocationInactiveError(key.location_id)
        return level

    def fact(self, sku: str) -> Facts:
        """Return what an item is; raises ItemNotFoundError."""
        facts = self.facts.get(sku)
        if facts is None:
            raise ItemNotFoundError(sku)
        return facts

    def stocked(self, sku: str) -> Facts:
        """Return what an item is that can have stock; raises ItemNotFoundError or ItemNotStockedError."""
        facts = self.fact(sku)
        if not facts.counted:
            raise ItemNotStockedError(sku, facts.kind)
        return facts

    def is_new_bundle(self, sku: str) -> bool:
        """Tell whether an item is a bundle that came into being in this transaction."""
        is_new = sku in self.items.before and self.items.before[sku] is None
        return is_new and bool(self.items[sku].components)

    def reservation(self, reservation_id: UUID) -> Reservation:
        """Return the reservation as decided so far; raises ReservationNotFoundError."""
        reservation = self.reservations.get(reservation_id)
        if reservation is None:
            raise ReservationNotFoundError(reservation_id)
        return reservation

    def order(self, order_id: UUID) -> Order:
        """Return the order as decided so far; raises OrderNotFoundError."""
        order = self.orders.get(order_id)
        if order is None:
            raise OrderNotFoundError(order_id)
        return order

    def transfer(self, transfer_id: UUID) -> Transfer:
        """Return the transfer as decided so far; raises TransferNotFoundError."""
        transfer = self.transfers.get(transfer_id)
        if transfer is None:
            raise TransferNotFoundError(transfer_id)
        return transfer

    def new_id(self) -> UUID:
        """Return an id that no other transaction gives: this one's, counted on."""
        self._ids += 1
        return UUID(int=self.id.int + self._ids)

    def enter(self, result: Level, delta: Quantities, why: Why, lot_id: str = "") -> Level:
        """Enter in the ledger that a level has become `result`, its next version; return `result`."""
        self.put(self.levels, result.key, result)
        self.movements.append(Movement(why, delta, result, lot_id, why.occur_time or self.now))
        self._undo.append(self.movements.pop)
        return result

    def tell_extension(self, reservation: Reservation, cause: Cause) -> None:
        """Enter that a reservation holds until another time; the ledger has no entry for that."""
        entries = len(self.movements)
        told = Extension(reservation.reservation_id, reservation.expire_time, cause, entries)
        self.extensions.append(told)
        self._undo.append(self.extensions.pop)

    def put(self, rows: Rows[K, V], key: K, row: V) -> None:
        """Enter that a row of `rows`, which are this transaction's, is new or has changed."""
        before = rows.get(key)
        rows.before.setdefault(key, before)
        rows[key] = row
        self._undo.append(lambda: rows.restore(key, before))

    def put_item(self, item: Item) -> None:
        """Enter that an item is new or has changed; what it is never changes."""
        self.put(self.items, item.sku, item)
        known, archived = self.facts.get(item.sku), item.sku in self.archived
        self.facts[item.sku] = item.facts
        if item.state == ARCHIVED:
            self.archived.add(item.sku)

        def undo() -> None:
            if known is None:
                del self.facts[item.sku]
            if not archived:
                self.archived.discard(item.sku)

        self._undo.append(undo)

    def put_location(self, location: Location) -> None:
        """Enter that a location is new or has changed."""
        location_id = location.location_id
        self.put(self.locations, location_id, location)
        known, inactive = location_id in self.location_ids, location_id in self.inactive
        sites = self.sites
        self.location_ids.add(location_id)
        (self.inactive.discard if location.is_active else self.inactive.add)(location_id)
        others = {place: site for place, site in sites.items() if place != location_id}
        self.sites = others if location.site is None else {**others, location_id: location.site}

        def undo() -> None:
            if not known:
                self.location_ids.discard(location_id)
            (self.inactive.add if inactive else self.inactive.discard)(location_id)
            self.sites = sites

        self._undo.append(undo)

    def record(self, accepted: Accepted, record: Record) -> None:
        """Enter a request and what was answered to it, to be committed with its effects."""
        self.records[accepted.request_id] = record
        self.accepted.append(accepted)

        def undo() -> None:
            del self.records[accepted.request_id]
            self.accepted.pop()

        self._undo.append(undo)

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
    def is_empty(self) -> bool:
        """Whether nothing stands decided, so that there is nothing to commit."""
        return not self._undo
