"""Changes as they are handed to watchers: read once, made into a message once, shared by all who get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from inventory.query.v1.stock_query_service_pb2 import StockChange, WatchStockResponse
from query_svc.read_model import BUCKETS, FeedEntry, Place
from query_svc.watch import cursors

Name: TypeAlias = tuple[str, str]
"""SKU and location_id of a level."""


class Change:
    """One entry of the feed, after the changes that were missing before it: told together or not at all."""

    __slots__ = ("bucket", "messages", "name", "number", "place", "run", "version")

    def __init__(self, entry: FeedEntry, missing: Sequence[StockChange], run: Run) -> None:
        movement = entry.change.movement
        self.bucket = entry.bucket
        self.place = entry.place
        self.name: Name = (movement.sku, movement.location_id)
        self.version = movement.version
        self.messages = (*missing, entry.change)
        self.run = run
        self.number = run.add(self)


class Run:
    """Changes that follow one another, with where their reader stood before them."""

    def __init__(self, epoch: bytes | None, places: Sequence[Place]) -> None:
        self._epoch = epoch
        self._before = tuple(places)
        self._steps: list[tuple[int, Place]] = []
        self._responses: dict[tuple[int, int], WatchStockResponse] = {}

    def add(self, change: Change) -> int:
        """Take the next change; return its number, from 0 on."""
        self._steps.append((change.bucket, change.place))
        return len(self._steps) - 1

    def places(self, number: int) -> list[Place]:
        """Return where who has got the change of a number stands, one place for each bucket."""
        places = list(self._before)
        for bucket, place in self._steps[: number + 1]:
            places[bucket] = place
        return places

    def response(self, changes: Sequence[Change]) -> WatchStockResponse:
        """Return the message that tells the changes, the last of which is of this run.

        Two watchers to whom the same is to be told get the very same message.
        """
        first, last = changes[0], changes[-1]
        shared = first.run is self and len(changes) == last.number - first.number + 1
        key = (first.number, last.number)
        if shared and key in self._responses:
            return self._responses[key]
        response = told(changes, self.cursor(self.places(last.number)))
        if shared:
            self._responses[key] = response
        return response

    def cursor(self, places: Sequence[Place]) -> str:
        """Return the cursor of some places; empty while the feed has not begun in every bucket."""
        return cursors.encode(self._epoch, places) if self._epoch else ""


def told(changes: Sequence[Change], cursor: str) -> WatchStockResponse:
    """Return the message that tells changes, and the cursor."""
    messages = [message for change in changes for message in change.messages]
    return WatchStockResponse(cursor=cursor, changes=messages, current=True)


NOWHERE: tuple[Place, ...] = ((0, 0),) * BUCKETS
