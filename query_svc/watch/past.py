"""What a resumed watch has missed: the changes from its cursor up to where the process has read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from inventory.query.v1.stock_query_service_pb2 import StockChange, WatchStockResponse
from query_svc.read_model import Feed, FeedEntry, Place
from query_svc.watch import cursors
from query_svc.watch.cursors import Cursor
from query_svc.watch.density import LedgerEntries, Versions
from query_svc.watch.watchers import Interest
from serving.errors import unavailable

PAGE = 100
"""The entries of a bucket that are read at once."""
MESSAGE_CHANGES = 500


class Past:
    """The changes of interest after a cursor, up to `until`.

    `reading` bounds how many read at once; `places` are those up to which they have been told.
    """

    def __init__(  # noqa: PLR0913 - what it reads by, and what it is to read
        self,
        feed: Feed,
        ledger_entries: LedgerEntries,
        reading: asyncio.Semaphore,
        *,
        interest: Interest,
        cursor: Cursor,
        until: list[Place],
    ) -> None:
        self._feed = feed
        self._reading = reading
        self._interest = interest
        self._epoch = cursor.epoch
        self._until = until
        self._versions = Versions(ledger_entries)
        self.places = list(map(max, until, cursor.places))
        for bucket in interest.buckets:
            self.places[bucket] = cursor.places[bucket]
        self._behind = {bucket for bucket in interest.buckets if self.places[bucket] < until[bucket]}
        self._floors: dict[int, int] = {}
        self._messages: list[StockChange] = []

    async def check(self) -> None:
        """Raise CallError CURSOR_EXPIRED unless the feed vouches for what comes after the cursor.

        DEPENDENCY_UNAVAILABLE while the feed is being made anew.
        """
        async with self._reading:
            states = await self._feed.states()
        for bucket in self._interest.buckets:
            state = states[bucket]
            if state is None or state.held < self._until[bucket][0]:
                raise unavailable("read model")
            if cursors.epoch_of(state.origin) != self._epoch:
                raise cursors.expired()
            if not state.continues(self.places[bucket]):
                raise cursors.expired()
            self._floors[bucket] = state.floor

    async def responses(self) -> AsyncIterator[WatchStockResponse]:
        """Yield what has been missed. Raises CallError CURSOR_EXPIRED when some of it is not kept."""
        while self._behind:
            async with self._reading:
                found = await self._feed.read({bucket: self.places[bucket] for bucket in self._behind}, PAGE)
            for bucket, entries in found.items():
                for entry in entries:
                    if entry.after > self.places[bucket]:
                        raise cursors.expired()
                    if entry.place > self._until[bucket]:
                        break
                    await self._take(entry)
                    if len(self._messages) >= MESSAGE_CHANGES:
                        yield self._response()
                if len(entries) < PAGE or entries[-1].place >= self._until[bucket]:
                    self.places[bucket] = max(self.places[bucket], self._until[bucket])
                    self._behind.remove(bucket)
        if self._messages:
            yield self._response()

    async def _take(self, entry: FeedEntry) -> None:
        missing = await self._versions.before(entry, self._floors[entry.bucket])
        movement = entry.change.movement
        if missing is not None and self._interest.includes((movement.sku, movement.location_id)):
            self._messages += (*missing, entry.change)
        self.places[entry.bucket] = entry.place

    def _response(self) -> WatchStockResponse:
        messages, self._messages = self._messages, []
        cursor = cursors.encode(self._epoch, self.places)
        return WatchStockResponse(cursor=cursor, changes=messages, current=True)
