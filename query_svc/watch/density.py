"""Versions are dense: so one tells whether a change was told before, and whether one is missing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import structlog

from inventory.query.v1.stock_query_service_pb2 import StockChange
from inventory.type.v1.stock_pb2 import StockMovement
from query_svc.read_model import FeedEntry
from query_svc.watch import cursors
from query_svc.watch.changes import Name

MAX_MISSING = 500
"""The most changes of a level that are read from the ledger to fill a gap."""
MAX_KNOWN = 50_000
"""The levels whose last version is remembered."""

LedgerEntries: TypeAlias = Callable[[Name, int, int], Awaitable[Sequence[StockMovement]]]
"""Returns the ledger's entries of a level with versions after the first number and up to the second."""

log = structlog.get_logger()


class Versions:
    """Follows the versions of levels along a feed."""

    def __init__(self, ledger_entries: LedgerEntries) -> None:
        self._ledger_entries = ledger_entries
        self._known: dict[Name, int] = {}

    async def before(self, entry: FeedEntry, floor: int) -> list[StockChange] | None:
        """Return the changes that are missing before an entry, nearly always none; None if it is a repeat.

        `floor` is the offset from which on the feed has everything. What is missing is read from the ledger.
        Raises CallError CURSOR_EXPIRED when that is too much, or when it is not known what has been told, and
        DatabaseUnavailableError.
        """
        movement = entry.change.movement
        name, version = (movement.sku, movement.location_id), movement.version
        # What the view held before may be from a row that was repaired, which no change has told of.
        last = self._known.pop(name, entry.previous)
        if version <= last:
            self._known[name] = last
            return None
        if not last and version > 1 and floor:
            # Not in the view, though it is not new: what came before the floor may have been told, or not.
            raise cursors.expired()
        missing = await self._missing(name, last, version) if version > last + 1 else []
        self._known[name] = version
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return missing

    async def _missing(self, name: Name, last: int, version: int) -> list[StockChange]:
        number = version - last - 1
        log.warning("changes of a level are missing in the feed", level=name, after=last, until=version)
        entries = await self._ledger_entries(name, last, version - 1) if number <= MAX_MISSING else []
        if [entry.version for entry in entries] != list(range(last + 1, version)):
            raise cursors.expired()
        return [StockChange(movement=entry) for entry in entries]


class HasEntries(Protocol):
    """What reads the ledger."""

    async def entries(
        self, sku: str, location_id: str, *, after: int, until: int, seconds: float
    ) -> list[StockMovement]:
        """Return a level's entries with versions after one and up to another, in order."""
        ...


def entries_of(ledger: HasEntries, seconds: float) -> LedgerEntries:
    """Return what reads a level's entries from the ledger, within `seconds`."""

    async def entries(name: Name, after: int, until: int) -> list[StockMovement]:
        return await ledger.entries(*name, after=after, until=until, seconds=seconds)

    return entries
