"""WatchStock: the past of a resumed watch or the present of a new one, then every change as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Self

from inventory.query.v1 import stock_query_service_pb2 as pb
from query_svc.read_model import BUCKETS, Feed, Place, ReadModel, bucket_of
from query_svc.watch import current_levels, cursors
from query_svc.watch.changes import Change, told
from query_svc.watch.cursors import Cursor
from query_svc.watch.density import LedgerEntries
from query_svc.watch.fanout import Fanout
from query_svc.watch.feed_reader import FeedReader
from query_svc.watch.past import Past
from query_svc.watch.watchers import Interest, Watcher
from serving import tasks
from serving.errors import unavailable

HEARTBEAT_SECONDS = 10.0
WAIT_SECONDS = 5.0
"""How long a watch waits for the read model before it is refused."""
MESSAGE_CHANGES = 500
AT_ONCE = 16
"""The watches that read their past or present at once; the others wait for them."""


class Watches:
    """The watches of a process, all fed by one reader; an asynchronous context manager."""

    def __init__(
        self,
        feed: Feed,
        view: ReadModel,
        ledger_entries: LedgerEntries,
        *,
        most_watches: int,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._feed = feed
        self._view = view
        self._ledger_entries = ledger_entries
        self._heartbeat_seconds = heartbeat_seconds
        self._fanout = Fanout(most_watches)
        self._reader = FeedReader(feed, self._fanout, ledger_entries)
        self._reading = asyncio.Semaphore(AT_ONCE)
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._following = tasks.start(self._reader.run(), "feed")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._following is not None:
            await tasks.stop(self._following)

    async def watch(self, request: pb.WatchStockRequest) -> AsyncGenerator[pb.WatchStockResponse, None]:
        """Yield what the request, which has been checked, is to be told. Ends by an error alone.

        Raises CallError as the contract says, ReadModelUnavailableError and DatabaseUnavailableError.
        """
        cursor = cursors.decode(request.cursor) if request.cursor else None
        interest = Interest(frozenset(request.skus), frozenset(request.location_ids))
        watcher = Watcher(interest, coalesces=request.slow_reader == pb.SLOW_READER_COALESCE)
        await self._reader.follows(WAIT_SECONDS)
        with self._fanout.watching(watcher):
            least: list[Place] | None = None
            if cursor is not None:
                past = self._past(watcher, cursor)
                await past.check()
                async for response in past.responses():
                    watcher.check()
                    yield response
                yield told([], cursors.encode(cursor.epoch, past.places))
                least = past.places if watcher.beyond else None
            elif request.include_current:
                async for response in self._present(watcher):
                    yield response
            else:
                yield self._reader.heartbeat()
            while True:
                await watcher.wait(self._heartbeat_seconds)
                changes = watcher.take(MESSAGE_CHANGES)
                yield self._response(changes, least)
                if not changes and not self._is_before(least):
                    least, watcher.beyond = None, {}

    def _past(self, watcher: Watcher, cursor: Cursor) -> Past:
        """Return what the watcher has missed; what it is offered comes after that."""
        if self._reader.epoch is None:
            raise unavailable("read model")
        if cursor.epoch != self._reader.epoch:
            raise cursors.expired()
        until = list(self._reader.places)
        watcher.beyond = {
            bucket: cursor.places[bucket]
            for bucket in range(BUCKETS)
            if cursor.places[bucket] > until[bucket]
        }
        return Past(
            self._feed,
            self._ledger_entries,
            self._reading,
            interest=watcher.interest,
            cursor=cursor,
            until=until,
        )

    async def _present(self, watcher: Watcher) -> AsyncIterator[pb.WatchStockResponse]:
        """Yield the present state, then what has changed meanwhile, with the cursor at its end."""
        async for page in current_levels.pages(self._view, self._feed, watcher.interest, self._reading):
            ends = await self._feed.ends(sorted({bucket_of(level.sku) for level in page}))
            # From there on no change comes that led to these levels.
            await self._reader.reaches(ends, WAIT_SECONDS)
            watcher.check()
            watcher.forget({(level.sku, level.location_id): level.version for level in page})
            yield pb.WatchStockResponse(levels=page)
        watcher.check()
        # Until these are told there is no place to resume at: the levels are newer than where they begin.
        changes, end = watcher.take(), self._reader.heartbeat()
        while len(changes) > MESSAGE_CHANGES:
            first, changes = changes[:MESSAGE_CHANGES], changes[MESSAGE_CHANGES:]
            yield told(first, "")
        yield told(changes, end.cursor)

    def _response(self, changes: list[Change], least: list[Place] | None) -> pb.WatchStockResponse:
        """Return the message that tells the changes, or that there are none.

        `least` holds places that the watcher has been told up to already, where the reader may not stand yet.
        """
        if least is None:
            return changes[-1].run.response(changes) if changes else self._reader.heartbeat()
        run = changes[-1].run if changes else self._reader.run_from_here()
        places = run.places(changes[-1].number) if changes else self._reader.places
        return told(changes, run.cursor(list(map(max, places, least))))

    def _is_before(self, places: list[Place] | None) -> bool:
        """Tell whether the reader does not stand at some place yet."""
        return places is not None and any(map(tuple.__lt__, self._reader.places, places))
