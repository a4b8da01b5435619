"""A command store in memory, for tests of what stands on the store."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from command_svc.domain.batch import Scope
from command_svc.domain.catalog import Item, Location
from command_svc.domain.levels import Level, LevelKey, Movement
from command_svc.domain.reservations import Reservation
from command_svc.domain.sourcing import Site
from command_svc.domain.transaction import Record, Transaction
from tests.unit.command_svc.making import transaction


class MemoryStore:
    """Keeps what is decided, in transactions one after the other.

    It begins with the items MUG and PEN, the digital item SONG and the locations WH and ST.
    """

    def __init__(self) -> None:
        self.levels: dict[LevelKey, Level] = {}
        self.ledger: list[Movement] = []
        self.items: dict[str, Item] = {}
        self.locations: dict[str, Location] = {}
        self.reservations: dict[UUID, Reservation] = {}
        self.records: dict[str, Record] = {}
        self.transactions = 0

    async def transact(self, scope: Scope, decide: Callable[[Transaction], None]) -> None:
        """Read `scope`, decide, keep what was decided."""
        self.transactions += 1
        working = transaction(
            self.levels.values(),
            answered={one: self.records[one] for one in scope.request_ids if one in self.records},
        )
        working.kinds |= {sku: item.kind for sku, item in self.items.items()}
        working.location_ids |= self.locations.keys()
        working.sites = {place: Site(place, 0) for place in working.location_ids}
        working.reservations.update(self.reservations)
        decide(working)
        self.reservations |= {after.reservation_id: after for _, after in working.changed_reservations()}
        self.levels |= {after.key: after for _, after in working.changed_levels()}
        self.ledger += working.movements
        self.items |= {item.sku: item for item in working.items}
        self.locations |= {location.location_id: location for location in working.locations}
        self.records |= working.records

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was ever kept."""
        return not (
            self.levels or self.ledger or self.items or self.locations or self.reservations or self.records
        )
