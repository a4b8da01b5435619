"""The working set of one transaction: what was locked and read, and what has been decided on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from command_svc.domain.catalog import PHYSICAL, Item, Location
from command_svc.domain.levels import Level, LevelKey, Movement, Quantities
from command_svc.domain.refusals import (
    ItemAlreadyExistsError,
    ItemNotFoundError,
    ItemNotStockedError,
    LocationAlreadyExistsError,
    LocationNotFoundError,
)


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
    exist; an item or location of an existing level need not be among them.
    """

    id: UUID
    now: datetime
    levels: dict[LevelKey, Level] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    location_ids: set[str] = field(default_factory=set)
    answered: Mapping[str, Record] = field(default_factory=dict)
    movements: list[Movement] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    locations: list[Location] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    _before: list[Level] = field(default_factory=list)

    def level(self, key: LevelKey) -> Level:
        """Return the level as decided so far, one of version 0 if it has no entry yet.

        Raises ItemNotFoundError, ItemNotStockedError or LocationNotFoundError.
        """
        level = self.levels.get(key)
        if level is not None:
            return level
        kind = self.kinds.get(key.sku)
        if kind is None:
            raise ItemNotFoundError(key.sku)
        if kind != PHYSICAL:
            raise ItemNotStockedError(key.sku, kind)
        if key.location_id not in self.location_ids:
            raise LocationNotFoundError(key.location_id)
        return Level(key)

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
        result = level.changed(delta, self.now)
        self._before.append(level)
        self.levels[level.key] = result
        self.movements.append(
            Movement(
                kind, reason, delta, result, cause.actor, reference, cause.request_id, occur_time or self.now
            )
        )
        return result

    def add_item(self, item: Item) -> Item:
        """Enter a new item; raises ItemAlreadyExistsError."""
        if item.sku in self.kinds:
            raise ItemAlreadyExistsError(item.sku)
        created = replace(item, create_time=self.now, update_time=self.now)
        self.kinds[item.sku] = item.kind
        self.items.append(created)
        return created

    def add_location(self, location: Location) -> Location:
        """Enter a new location; raises LocationAlreadyExistsError."""
        if location.location_id in self.location_ids:
            raise LocationAlreadyExistsError(location.location_id)
        created = replace(location, create_time=self.now, update_time=self.now)
        self.location_ids.add(location.location_id)
        self.locations.append(created)
        return created

    def record(self, request_id: str, record: Record) -> None:
        """Enter what was answered to a request, to be committed with its effects."""
        self.records[request_id] = record

    def answer_to(self, request_id: str) -> Record | None:
        """Return what this or an earlier transaction answered to the request id."""
        return self.records.get(request_id) or self.answered.get(request_id)

    def mark(self) -> tuple[int, int, int, int]:
        """Return the present place, for `undo_to`."""
        return len(self.movements), len(self.items), len(self.locations), len(self.records)

    def undo_to(self, mark: tuple[int, int, int, int]) -> None:
        """Take back everything entered since `mark`."""
        movements, items, locations, records = mark
        while len(self.movements) > movements:
            self.movements.pop()
            before = self._before.pop()
            if before.version:
                self.levels[before.key] = before
            else:
                del self.levels[before.key]
        while len(self.items) > items:
            del self.kinds[self.items.pop().sku]
        while len(self.locations) > locations:
            self.location_ids.remove(self.locations.pop().location_id)
        while len(self.records) > records:
            self.records.popitem()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been decided, so that there is nothing to commit."""
        return not (self.movements or self.items or self.locations or self.records)

    def changed_levels(self) -> Iterable[tuple[Level, Level]]:
        """Yield each changed level once, as it was before this transaction and as it is after it."""
        first: dict[LevelKey, Level] = {}
        for before in self._before:
            first.setdefault(before.key, before)
        return ((before, self.levels[key]) for key, before in first.items())
