"""What the function library is told of the feed: each change of a level, in the order of the journal."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from inventory.query.v1.stock_query_service_pb2 import StockChange
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model.keys import Keys, bucket_of

FEED_ENTRIES = 4000
"""The changes that a bucket's feed keeps, about: some 300 bytes each."""


class Told(NamedTuple):
    """A change, and the offset of the record that tells of it."""

    offset: int
    change: StockChange


class FeedPart(NamedTuple):
    """A bucket's part of a call: the keys of the levels, and the arguments but those that every call has."""

    keys: Sequence[str]
    arguments: Sequence[str | bytes | int]


NOTHING = FeedPart((), (0,))


def feed_parts(told: Iterable[Told], levels: Iterable[StockLevel], keys: Keys) -> dict[int, FeedPart]:
    """Return the part of each bucket; `levels` are those whose rows the same call gives."""
    parts: dict[int, _Part] = defaultdict(_Part)
    for level in levels:
        parts[bucket_of(level.sku)].give(level)
    for offset, change in told:
        parts[bucket_of(change.movement.sku)].tell(offset, change)
    return {bucket: part.made(keys) for bucket, part in parts.items()}


class _Part:
    def __init__(self) -> None:
        self._levels: dict[tuple[str, str], int] = {}
        self._versions: list[int] = []
        self._changes: list[str | bytes | int] = []
        self._numbers: Counter[int] = Counter()

    def give(self, level: StockLevel) -> None:
        self._levels[level.sku, level.location_id] = len(self._levels) + 1
        self._versions.append(level.version)

    def tell(self, offset: int, change: StockChange) -> None:
        movement = change.movement
        self._numbers[offset] += 1
        level = self._number(movement.sku, movement.location_id)
        self._changes += (level, movement.version, offset, self._numbers[offset], change.SerializeToString())

    def made(self, keys: Keys) -> FeedPart:
        arguments: list[str | bytes | int] = [len(self._levels)]
        for (_, location_id), version in zip(self._levels, self._versions, strict=True):
            arguments += (location_id, version)
        return FeedPart([keys.levels(sku) for sku, _ in self._levels], arguments + self._changes)

    def _number(self, sku: str, location_id: str) -> int:
        number = self._levels.setdefault((sku, location_id), len(self._levels) + 1)
        if number > len(self._versions):
            self._versions.append(0)
        return number
