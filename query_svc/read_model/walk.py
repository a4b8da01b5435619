"""Walking an index in order, though each bucket keeps a part of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from query_svc.read_model.keys import BUCKETS, Keys
from query_svc.read_model.line import Command, Line

# A bucket's share of a page varies: this much more is asked of each, so that one round nearly always does.
SHARE = 2
SPARE = 8


@dataclass(frozen=True, slots=True)
class Span:
    """The members of an index that begin with `prefix`; what follows it is their tail.

    `low` and `high`, where given, are the first tail and the one behind the last. `bucket`, where given, is
    the one that has them all.
    """

    index: str
    prefix: str = ""
    low: str = ""
    high: str = ""
    bucket: int | None = None


async def walk(  # noqa: PLR0913 - what a page can be asked for
    line: Line, keys: Keys, span: Span, *, after: str | None, count: int, descending: bool = False
) -> list[str]:
    """Return the next `count` tails of a span after a tail, or from its beginning; fewer at its end.

    By their bytes, in ascending or descending order. One round trip, rarely two.
    """
    buckets = range(BUCKETS) if span.bucket is None else [span.bucket]
    share = min(count, count * SHARE // len(buckets) + SPARE)
    parts = {bucket: _Part(keys.of_bucket(bucket, span.index)) for bucket in buckets}
    first, last = _bounds(span, after, descending=descending)
    while asked := [part for part in parts.values() if part.more]:
        answers = await line.ask([part.command(first, last, share, descending=descending) for part in asked])
        for part, answer in zip(asked, answers, strict=True):
            part.take(cast("Sequence[bytes]", answer), share)
        found = sorted((name for part in parts.values() for name in part.members), reverse=descending)
        if len(found) >= count:
            # Only who may still have something that comes before the last of them is asked again.
            limit = found[count - 1]
            for part in parts.values():
                if part.more:
                    part.more = part.members[-1] > limit if descending else part.members[-1] < limit
    found = sorted((name for part in parts.values() for name in part.members), reverse=descending)
    skip = len(span.prefix.encode())
    return [name[skip:].decode() for name in found[:count]]


class _Part:
    """What one bucket has given so far."""

    def __init__(self, key: str) -> None:
        self.members: list[bytes] = []
        self.more = True
        self._key = key

    def command(self, first: bytes, last: bytes, count: int, *, descending: bool) -> Command:
        start = b"(" + self.members[-1] if self.members else first
        order = ("REV",) if descending else ()
        return ("ZRANGE", self._key, start, last, "BYLEX", *order, "LIMIT", 0, count)

    def take(self, members: Sequence[bytes], asked: int) -> None:
        self.members += members
        self.more = len(members) == asked


def _bounds(span: Span, after: str | None, *, descending: bool) -> tuple[bytes, bytes]:
    """Return where ZRANGE is to begin and to end."""
    prefix = span.prefix.encode()
    low = b"[" + prefix + span.low.encode()
    if span.high:
        high = b"(" + prefix + span.high.encode()
    else:  # what begins with a prefix comes before what begins with the next greater one
        high = b"(" + prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else b"+"
    beyond = None if after is None else b"(" + prefix + after.encode()
    return (beyond or high, low) if descending else (beyond or low, high)
