"""One who watches: what it wants to be told, and what waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from inventory.type.v1 import error_reason_pb2
from query_svc.read_model import BUCKETS, Place, bucket_of
from query_svc.watch.changes import Change, Name
from serving.errors import CallError

MAX_WAITING = 2000
"""The changes, or coalesced the levels, that may wait for one watcher."""


@dataclass(frozen=True, slots=True)
class Interest:
    """The levels of some SKUs, at some locations; an empty set stands for all."""

    skus: frozenset[str] = frozenset()
    location_ids: frozenset[str] = frozenset()

    @property
    def buckets(self) -> list[int]:
        """The buckets that have such levels."""
        return sorted({bucket_of(sku) for sku in self.skus}) or list(range(BUCKETS))

    def includes(self, name: Name) -> bool:
        """Tell whether a level is one of them."""
        return (not self.skus or name[0] in self.skus) and (
            not self.location_ids or name[1] in self.location_ids
        )


@dataclass(eq=False, slots=True)
class Watcher:
    """Keeps what waits to be told, in order; coalesced, only the newest of each level.

    `beyond` holds the places up to which it has been told by another server already, where the reader of this
    one does not stand yet.
    """

    interest: Interest
    coalesces: bool
    limit: int = MAX_WAITING
    beyond: dict[int, Place] = field(default_factory=dict)
    _waiting: dict[object, Change] = field(default_factory=dict)
    _error: CallError | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waiting(self) -> int:
        """How many changes wait."""
        return len(self._waiting)

    def offer(self, change: Change) -> None:
        """Let a change wait that is of interest; end the watch when there is no room for it."""
        if self._error is not None:
            return
        if self.beyond and change.place <= self.beyond.get(change.bucket, (0, 0)):
            return
        key: object = change
        if self.coalesces:
            key = change.name
            # Behind what it has overtaken: no cursor then says of anything before it that it has been told.
            self._waiting.pop(key, None)
        if len(self._waiting) >= self.limit:
            self.end(too_slow(len(self._waiting), self.limit))
            return
        self._waiting[key] = change
        self._changed.set()

    def end(self, error: CallError) -> None:
        """End the watch with an error; what waits is dropped, and is told after the cursor when resumed."""
        if self._error is None:
            self._error = error
        self._waiting.clear()
        self._changed.set()

    def check(self) -> None:
        """Raise the error that has ended the watch, if one has."""
        if self._error is not None:
            raise self._error

    async def wait(self, seconds: float) -> None:
        """Return when something waits, or after so long. Raises the error that has ended the watch."""
        if not self._waiting:
            self._changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    self.check()
                    await self._changed.wait()
            except TimeoutError:
                return
        self.check()

    def take(self, most: int | None = None) -> list[Change]:
        """Return what waits, in order and up to so much of it; it waits no more."""
        taken = list(islice(self._waiting.items(), most))
        for key, _ in taken:
            del self._waiting[key]
        return [change for _, change in taken]

    def forget(self, versions: Mapping[Name, int]) -> None:
        """Drop the changes that led to the levels' versions or were before them."""
        known: Iterable[object] = [
            key for key, change in self._waiting.items() if change.version <= versions.get(change.name, 0)
        ]
        for key in known:
            del self._waiting[key]


def too_slow(waiting: int, limit: int) -> CallError:
    """Return the error for who does not read as fast as changes come; `limit` is its own or the process's."""
    return CallError(
        error_reason_pb2.ERROR_REASON_WATCH_TOO_SLOW,
        f"{waiting} changes wait, and no more can: read faster, or take the newest of each level alone",
        metadata={"waiting": str(waiting), "limit": str(limit)},
    )
