"""A command store in memory, for tests of what stands on the store."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from command_svc.domain.batch import Scope
from command_svc.domain.catalog import ARCHIVED, Item, Location
from command_svc.domain.levels import Level, LevelKey, Movement
from command_svc.domain.lots import Lot, LotKey, Serial
from command_svc.domain.promises import Order, Reservation
from command_svc.domain.sourcing import Site
from command_svc.domain.transaction import Record, Rows, Transaction
from command_svc.domain.transfer import Transfer
from tests.unit.command_svc.making import FACTS, LOCATIONS, NOW, transaction


class MemoryStore:
    """Keeps what is decided, in transactions one after the other.

    It begins with the items MUG and PEN, the digital item SONG and the locations WH and ST. A transaction
    reads everything there is, so that only what comes into being in it can be out of its reach. `now` is
    its clock, which stands still until it is set.
    """

    def __init__(self) -> None:
        self.now: datetime = NOW
        self.levels: dict[LevelKey, Level] = {}
        self.ledger: list[Movement] = []
        self.items = {
            sku: Item(sku, sku.title(), kind=facts.kind, counted=facts.counted)
            for sku, facts in FACTS.items()
        }
        self.locations = {
            place: Location(place, place, "WAREHOUSE", ships_online_orders=True) for place in LOCATIONS
        }
        self.lots: dict[LotKey, Lot] = {}
        self.serials: dict[tuple[str, str], Serial] = {}
        self.reservations: dict[UUID, Reservation] = {}
        self.orders: dict[UUID, Order] = {}
        self.transfers: dict[UUID, Transfer] = {}
        self.records: dict[str, Record] = {}
        self.transactions = 0
        self.commits = 0

    async def transact(
        self,
        scope: Scope,
        decide: Callable[[Transaction], None],
        *,
        within: float = math.inf,  # noqa: ARG002 - it takes no time
    ) -> None:
        """Read, decide, keep what was decided."""
        self.transactions += 1
        working = self.read(scope.requests)
        working.reach |= scope.levels
        decide(working)
        if not working.is_empty:
            self.keep(working)

    def read(self, requests: set[str]) -> Transaction:
        """Return a transaction on all there is."""
        working = transaction(
            self.levels.values(),
            answered={one: self.records[one] for one in requests if one in self.records},
            now=self.now,
        )
        working.facts = {sku: item.facts for sku, item in self.items.items()}
        working.archived = {sku for sku, item in self.items.items() if item.state == ARCHIVED}
        working.location_ids = set(self.locations)
        working.inactive = {place for place, one in self.locations.items() if not one.is_active}
        working.reach = {LevelKey(sku, place) for sku in self.items for place in self.locations}
        working.sites = {
            place: Site(place, one.priority, one.coordinates)
            for place, one in self.locations.items()
            if one.is_active and one.ships_online_orders
        }
        working.items, working.locations = Rows(self.items), Rows(self.locations)
        working.lots, working.serials = Rows(self.lots), Rows(self.serials)
        working.reservations, working.orders = Rows(self.reservations), Rows(self.orders)
        working.transfers = Rows(self.transfers)
        return working

    def keep(self, working: Transaction) -> None:
        """Keep what was decided."""
        self.commits += 1
        self.levels.update(working.levels)
        self.ledger += working.movements
        self.items.update(working.items)
        self.locations.update(working.locations)
        self.lots.update(working.lots)
        self.serials.update(working.serials)
        self.reservations.update(working.reservations)
        self.orders.update(working.orders)
        self.transfers.update(working.transfers)
        self.records.update(working.records)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was ever kept."""
        return not self.commits
