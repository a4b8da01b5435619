"""The one reader of a process: follows the feed, and hands every change to the watchers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic

import structlog

from inventory.query.v1.stock_query_service_pb2 import WatchStockResponse
from inventory.type.v1 import error_reason_pb2
from query_svc.database import DatabaseUnavailableError
from query_svc.read_model import (
    BUCKETS,
    Feed,
    FeedEntry,
    FeedState,
    Place,
    ReadModelUnavailableError,
)
from query_svc.watch import cursors
from query_svc.watch.changes import NOWHERE, Change, Run
from query_svc.watch.density import LedgerEntries, Versions
from query_svc.watch.fanout import Fanout
from serving.errors import CallError, unavailable

LOOK_SECONDS = 1.0
"""How long nothing may be heard before every bucket is looked at."""
PAGE = 500
"""The entries of a bucket that are read at once."""
OUTAGE_SECONDS = 5.0
"""How long watches outlast a read model that does not answer; then they are to be resumed."""
FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 1.0

log = structlog.get_logger()


class FeedReader:
    """Follows the feed of all buckets from where it ends when the first look is taken.

    `places` says up to where it has read: every change up to there was offered to those who watched then.
    """

    def __init__(self, feed: Feed, fanout: Fanout, ledger_entries: LedgerEntries) -> None:
        self._feed = feed
        self._fanout = fanout
        self._ledger_entries = ledger_entries
        self._versions = Versions(ledger_entries)
        self.places: list[Place] = list(NOWHERE)
        self.floors: list[int] = [0] * BUCKETS
        self.epoch: bytes | None = None
        self._origins: list[str | None] = [None] * BUCKETS
        self._breaks: list[int] = [0] * BUCKETS
        self._following = False
        self._moved = asyncio.Event()
        self._heartbeat: WatchStockResponse | None = None

    async def run(self) -> None:
        """Follow until cancelled, whatever becomes of the read model."""
        failures, since = 0, monotonic()
        while True:
            try:
                async with self._feed.news() as news:
                    await self._look()
                    self._following = True
                    self._move()
                    while True:
                        failures, since = 0, monotonic()
                        grown = await news.grown(LOOK_SECONDS)
                        if grown:
                            await self._read(grown)
                        else:
                            await self._look()
            except ReadModelUnavailableError as error:
                log.warning("the feed is not followed", cause=str(error))
                lasting = monotonic() - since > OUTAGE_SECONDS
                refusal = unavailable("read model") if lasting else None
            except Exception:  # whatever it is, those who watch are told, and it is tried again
                log.exception("the feed is not followed")
                refusal = CallError(
                    error_reason_pb2.ERROR_REASON_INTERNAL, "the feed cannot be followed", retry_after=1.0
                )
            if refusal is not None:
                self._following = False
                self._fanout.end_all(refusal)
            failures += 1
            await asyncio.sleep(min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(failures, 10)))

    async def follows(self, seconds: float) -> None:
        """Return when the feed is followed. Raises CallError DEPENDENCY_UNAVAILABLE after `seconds`."""
        await self._until(lambda: self._following, seconds)

    async def reaches(self, ends: dict[int, Place], seconds: float) -> None:
        """Return when these places have been read; after `seconds`, raise DEPENDENCY_UNAVAILABLE."""
        await self._until(lambda: all(self.places[bucket] >= end for bucket, end in ends.items()), seconds)

    def run_from_here(self) -> Run:
        """Return a run without changes, from the place where all has been read."""
        return Run(self.epoch, self.places)

    def heartbeat(self) -> WatchStockResponse:
        """Return the message that tells no change, for those to whom everything has been told."""
        if self._heartbeat is None:
            self._heartbeat = WatchStockResponse(
                cursor=self.run_from_here().cursor(self.places), current=True
            )
        return self._heartbeat

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    await self._moved.wait()
        if not condition():
            raise unavailable("read model")

    def _move(self) -> None:
        """Wake who waits for a place, and let nobody be told of a former one."""
        self._heartbeat = None
        self._moved.set()
        self._moved = asyncio.Event()

    async def _look(self) -> None:
        """Read every bucket, having seen what the feeds can vouch for."""
        states = await self._feed.states()
        self._take(states)
        await self._read(range(BUCKETS))
        # All that a bucket held when it was asked has been read by now.
        for bucket, state in enumerate(states):
            if state is not None:
                self.places[bucket] = max(self.places[bucket], (state.held, 0))
        self._move()

    def _take(self, states: list[FeedState | None]) -> None:
        lost = False
        for bucket, state in enumerate(states):
            # None: not begun yet, or lost by Redis, to come again from the journal.
            if state is None:
                continue
            former, self._origins[bucket] = self._origins[bucket], state.origin
            breaks, self._breaks[bucket] = self._breaks[bucket], state.breaks
            self.floors[bucket] = state.floor
            if former is None:
                # While this is followed nothing of it was in the view: all that comes is news.
                self.places[bucket] = (state.floor if self._following else state.held, 0)
            elif (former, breaks) != (state.origin, state.breaks) or (state.floor, 0) > self.places[bucket]:
                self.places[bucket], lost = (state.held, 0), True
        origins = set(self._origins)
        origin = origins.pop() if len(origins) == 1 else None
        self.epoch = None if origin is None else cursors.epoch_of(origin)
        if lost:
            self._lose()

    async def _read(self, buckets: Iterable[int]) -> None:
        """Read the buckets to their ends."""
        left = set(buckets)
        while left:
            found = await self._feed.read({bucket: self.places[bucket] for bucket in left}, PAGE)
            run = self.run_from_here()
            for bucket, entries in found.items():
                for entry in entries:
                    await self._tell(entry, run)
                if len(entries) < PAGE:
                    left.remove(bucket)
            self._move()

    async def _tell(self, entry: FeedEntry, run: Run) -> None:
        if entry.after > self.places[entry.bucket]:
            log.error("changes are gone that were not read", bucket=entry.bucket, place=entry.place)
            self._lose()
            self.places[entry.bucket] = entry.after
        name = (entry.change.movement.sku, entry.change.movement.location_id)
        refusal, missing = None, None
        try:
            missing = await self._versions.before(entry, self.floors[entry.bucket])
        except CallError as error:
            refusal = error
        except DatabaseUnavailableError:
            refusal = unavailable("database")
        # Whoever begins to watch stands before the entry or behind it: nothing is awaited from here on.
        self.places[entry.bucket], self._heartbeat = entry.place, None
        if refusal is not None:
            # To be resumed: then what is missing is told, or that it is lost.
            for watcher in self._fanout.concerned(name):
                watcher.end(refusal)
        elif missing is not None:
            self._fanout.tell(Change(entry, missing, run))

    def _lose(self) -> None:
        """End every watch: changes are lost to it."""
        self._versions = Versions(self._ledger_entries)
        self._fanout.end_all(cursors.expired())
