"""A command store in memory, for tests of what stands on the store."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from command_svc.domain.item import ARCHIVED, Item
from command_svc.domain.levels import Level, LevelKey, Movement
from command_svc.domain.location import Location
from command_svc.domain.lot import Lot, LotKey, Serial
from command_svc.domain.promises import PENDING, Order, Reservation
from command_svc.domain.scope import Scope
from command_svc.domain.transaction import Record, Rows, Transaction
from command_svc.domain.transfer import Transfer
from tests.unit.command_svc.making import HERE, ITEMS, LOCATIONS, NOW, new_id

K = TypeVar("K")
V = TypeVar("V")


class MemoryStore:
    """Keeps what is decided, in transactions one after the other, at the time `now`.

    A transaction has read what `Transaction` promises, and nothing more. The store begins with ITEMS and
    LOCATIONS.
    """

    def __init__(self, items: Iterable[Item] = ITEMS, locations: Iterable[Location] = LOCATIONS) -> None:
        self.now: datetime = NOW
        self.levels: dict[LevelKey, Level] = {}
        self.ledger: list[Movement] = []
        self.items: dict[str, Item] = {item.sku: item for item in items}
        self.locations: dict[str, Location] = {location.location_id: location for location in locations}
        self.lots: dict[LotKey, Lot] = {}
        self.serials: dict[tuple[str, str], Serial] = {}
        self.reservations: dict[UUID, Reservation] = {}
        self.orders: dict[UUID, Order] = {}
        self.transfers: dict[UUID, Transfer] = {}
        self.records: dict[str, Record] = {}
        self.transactions = 0
        self.changes = 0

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was ever kept."""
        return not self.changes

    async def transact(
        self,
        scope: Scope,
        decide: Callable[[Transaction], None],
        *,
        within: float = math.inf,  # noqa: ARG002 - memory is never late
    ) -> None:
        """Read `scope`, decide, keep what was decided."""
        self.transactions += 1
        working = self.read(scope)
        decide(working)
        self.keep(working)

    async def overdue(self, limit: int) -> list[UUID]:
        """Return up to `limit` reservations that are pending though expired, the oldest first."""
        pending = [one for one in self.reservations.values() if one.state == PENDING]
        overdue = [one for one in pending if one.is_expired(self.now)]
        return [one.reservation_id for one in sorted(overdue, key=lambda one: one.expire_time)][:limit]

    def read(self, scope: Scope) -> Transaction:
        """Return a transaction that has read `scope`."""
        working = Transaction(id=new_id(), now=self.now, installation_id=HERE, reach=set(scope.levels))
        _pick(working.reservations, self.reservations, scope.reservations | self._overdue(scope))
        _pick(working.orders, self.orders, scope.orders)
        _pick(working.transfers, self.transfers, scope.transfers)
        for bundle in scope.bundles:
            working.reach |= {LevelKey(sku, bundle.location_id) for sku in self._with_parts([bundle.sku])}
        everywhere = self._with_parts(scope.everywhere)
        _pick(
            working.levels,
            self.levels,
            working.reach
            | {key for key in self.levels if key.sku in everywhere}
            | {line.key for one in working.reservations.values() for line in one.lines}
            | {allocation.key for one in working.orders.values() for allocation in one.allocations}
            | {
                key
                for one in working.transfers.values()
                for line in one.lines
                for key in (one.source(line.sku), one.destination(line.sku))
            },
        )
        self._read_catalog(scope, working)
        waiting = (
            order.order_id
            for order in self.orders.values()
            if any(order.waits_at(key) for key, level in working.levels.items() if level.backordered)
        )
        _pick(working.orders, self.orders, waiting)
        self._read_lots(scope, working)
        working.answered = {one: self.records[one] for one in scope.requests if one in self.records}
        return working

    def keep(self, working: Transaction) -> None:
        """Commit what was decided."""
        self.changes += not working.is_empty
        self.ledger += working.movements
        self.records |= working.records
        _put(self.levels, working.levels)
        _put(self.items, working.items)
        _put(self.locations, working.locations)
        _put(self.lots, working.lots)
        _put(self.serials, working.serials)
        _put(self.reservations, working.reservations)
        _put(self.orders, working.orders)
        _put(self.transfers, working.transfers)

    def _overdue(self, scope: Scope) -> set[UUID]:
        """Return the expired reservations that hold something of the items taken."""
        taken = self._with_parts(scope.taken)
        return {
            one.reservation_id
            for one in self.reservations.values()
            if one.state == PENDING
            and one.is_expired(self.now)
            and any(line.key.sku in taken for line in one.lines)
        }

    def _with_parts(self, skus: Iterable[str]) -> set[str]:
        """Return items with the components of those that are bundles."""
        found = set(skus)
        for sku in list(found & self.items.keys()):
            found.update(component for component, _ in self.items[sku].components)
        return found

    def _read_catalog(self, scope: Scope, working: Transaction) -> None:
        new = working.reach - working.levels.keys()
        facts = self._with_parts([*scope.facts, *(key.sku for key in new)]) | scope.items
        working.facts.update((sku, self.items[sku].facts) for sku in facts & self.items.keys())
        places = scope.locations | {key.location_id for key in new}
        working.location_ids.update(places & self.locations.keys())
        _pick(working.items, self.items, scope.items)
        _pick(working.locations, self.locations, scope.locations)

        named = facts | scope.everywhere | {key.sku for key in scope.levels}
        working.archived.update(sku for sku in named & self.items.keys() if self.items[sku].state == ARCHIVED)
        named = {key.location_id for key in scope.levels}
        working.inactive.update(one for one in named & self.locations.keys() if not self._is_active(one))
        if scope.everywhere:
            stocked = self._with_parts(scope.everywhere)
            near = {key.location_id for key in scope.levels}
            near |= {key.location_id for key in self.levels if key.sku in stocked}
            sites = {one: self.locations[one].site for one in sorted(near & self.locations.keys())}
            working.sites = {one: site for one, site in sites.items() if site is not None}

    def _is_active(self, location_id: str) -> bool:
        return self.locations[location_id].is_active

    def _read_lots(self, scope: Scope, working: Transaction) -> None:
        """Read the lots that hold something at one of the levels, or are named."""
        named = set(scope.lots)
        named |= {line.lot_id for one in working.reservations.values() for line in one.lines}
        named |= {one.lot_id for order in working.orders.values() for one in order.allocations}
        named |= {line.lot_id for one in working.transfers.values() for line in one.lines}
        there = [lot for lot in self.lots.values() if lot.key.level in working.levels]
        full = {(lot.key.sku, lot.key.lot_id) for lot in there if lot.on_hand}
        working.lots.update(
            (lot.key, lot)
            for lot in there
            if lot.key.lot_id in named or (lot.key.sku, lot.key.lot_id) in full
        )
        under_way = {
            (line.sku, number)
            for transfer in working.transfers.values()
            for line in transfer.lines
            for number in line.serials
        }
        _pick(working.serials, self.serials, scope.serials | under_way)


def _pick(rows: dict[K, V], kept: Mapping[K, V], keys: Iterable[K]) -> None:
    rows.update((key, kept[key]) for key in keys if key in kept)


def _put(kept: dict[K, V], rows: Rows[K, V]) -> None:
    for key, before in rows.before.items():
        assert kept.get(key) == before, "changed by somebody else"
        if key in rows:
            kept[key] = rows[key]
