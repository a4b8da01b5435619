"""Someone who watches every level, resumes when cut, and sees that no version is left out or told twice."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from inventory.query.v1.stock_query_service_pb2 import WatchStockRequest, WatchStockResponse
from inventory.type.v1.error_reason_pb2 import (
    ERROR_REASON_CURSOR_EXPIRED,
    ERROR_REASON_DEPENDENCY_UNAVAILABLE,
)
from query_svc.watch.watches import Watches
from serving.errors import CallError

Name = tuple[str, str]


class Watcher:
    """Watches until cancelled; `seen` has the last version of each level that it was told.

    `expired` has the cursors after which, so it was told, changes are lost: then it begins anew.
    """

    def __init__(self, watches: Watches) -> None:
        self.seen: dict[Name, int] = {}
        self.expired: list[str] = []
        self.cursor = ""
        self.begun = asyncio.Event()
        """Set once it has a cursor."""
        self._watches = watches

    async def run(self) -> None:
        """Watch. Raise AssertionError at a version that is left out or told twice."""
        while True:
            request = WatchStockRequest(cursor=self.cursor, include_current=not self.cursor)
            try:
                async with aclosing(self._watches.watch(request)) as watch:
                    async for message in watch:
                        self._take(message)
            except CallError as error:
                if error.reason == ERROR_REASON_CURSOR_EXPIRED:
                    self.expired.append(self.cursor)
                    self.cursor = ""
                elif error.reason != ERROR_REASON_DEPENDENCY_UNAVAILABLE:
                    raise
                await asyncio.sleep(0.05)

    def _take(self, message: WatchStockResponse) -> None:
        for level in message.levels:
            name = (level.sku, level.location_id)
            assert level.version >= self.seen.get(name, 0), name
            self.seen[name] = level.version
        for told in message.changes:
            name = (told.movement.sku, told.movement.location_id)
            assert told.movement.version == self.seen.get(name, 0) + 1, (name, self.seen.get(name))
            self.seen[name] = told.movement.version
        self.cursor = message.cursor or self.cursor
        if self.cursor:
            self.begun.set()
