"""From one reader to all watchers: each change goes to those who want it, found by SKU and location."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from inventory.type.v1 import error_reason_pb2
from query_svc.watch.changes import Change, Name
from query_svc.watch.watchers import Watcher, too_slow
from serving.errors import CallError

MAX_WAITING_IN_ALL = 200_000
"""The changes that may wait in one process, counted for each watcher they wait for."""


class Fanout:
    """The watchers of a process, at most `most_watchers`."""

    def __init__(self, most_watchers: int, *, most_waiting: int = MAX_WAITING_IN_ALL) -> None:
        self._most_watchers = most_watchers
        self._most_waiting = most_waiting
        self._watchers: set[Watcher] = set()
        self._of_sku: dict[str, set[Watcher]] = defaultdict(set)
        # Of any SKU: by location, and the watchers of everything.
        self._of_location: dict[str, set[Watcher]] = defaultdict(set)
        self._of_all: set[Watcher] = set()
        self._offered = 0

    def __len__(self) -> int:
        return len(self._watchers)

    @contextmanager
    def watching(self, watcher: Watcher) -> Iterator[None]:
        """Tell the watcher of changes meanwhile. Raises CallError QUEUE_FULL when there are too many."""
        if len(self._watchers) >= self._most_watchers:
            raise CallError(
                error_reason_pb2.ERROR_REASON_QUEUE_FULL, "too many watches are in progress", retry_after=1.0
            )
        self._watchers.add(watcher)
        for group in self._groups(watcher):
            group.add(watcher)
        try:
            yield
        finally:
            self._watchers.discard(watcher)
            for group in self._groups(watcher):
                group.discard(watcher)
            self._tidy(watcher)

    def tell(self, change: Change) -> None:
        """Offer a change to everyone whom it concerns."""
        concerned = self.concerned(change.name)
        for watcher in concerned:
            watcher.offer(change)
        self._offered += len(concerned)
        if self._offered > self._most_waiting // 4:
            self._relieve()

    def concerned(self, name: Name) -> list[Watcher]:
        """Return the watchers of a level."""
        sku, location_id = name
        found = [one for one in self._of_sku.get(sku, ()) if one.interest.includes(name)]
        found += self._of_location.get(location_id, ())
        found += self._of_all
        return found

    def end_all(self, error: CallError) -> None:
        """End every watch with an error."""
        for watcher in self._watchers:
            watcher.end(error)

    def _relieve(self) -> None:
        """Count what waits; at three quarters of what may, end the slowest watches until half is left."""
        self._offered = 0
        waiting = sum(watcher.waiting for watcher in self._watchers)
        if waiting <= self._most_waiting * 3 // 4:
            return
        for slowest in sorted(self._watchers, key=lambda watcher: -watcher.waiting):
            waiting -= slowest.waiting
            slowest.end(too_slow(slowest.waiting, self._most_waiting))
            if waiting <= self._most_waiting // 2:
                return

    def _groups(self, watcher: Watcher) -> list[set[Watcher]]:
        interest = watcher.interest
        if interest.skus:
            return [self._of_sku[sku] for sku in interest.skus]
        if interest.location_ids:
            return [self._of_location[location_id] for location_id in interest.location_ids]
        return [self._of_all]

    def _tidy(self, watcher: Watcher) -> None:
        for groups, names in (
            (self._of_sku, watcher.interest.skus),
            (self._of_location, watcher.interest.location_ids),
        ):
            for name in names:
                if name in groups and not groups[name]:
                    del groups[name]
