"""Reading the feed: every change of every level, bucket by bucket, each in the order of the journal."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from inventory.query.v1.stock_query_service_pb2 import StockChange
from query_svc.read_model.connection import open_redis
from query_svc.read_model.errors import ReadModelUnavailableError, translated
from query_svc.read_model.generations import LiveKeys
from query_svc.read_model.keys import BUCKETS, GENERATION, Keys
from query_svc.read_model.line import Line
from query_svc.read_model.owned import Owned
from serving import tasks

_STATE, _BREAKS = "feed", "feed-breaks"

Place = tuple[int, int]
"""Where an entry stands in a bucket's feed: the offset of its record, and its number there from 1 on.

(offset, 0) is before everything that the record at the offset has told.
"""


class FeedState(NamedTuple):
    """What a bucket's feed can vouch for: everything from the offset `floor` on.

    `held` is the offset up to which the bucket has it. Offsets mean something only within one `origin`: a
    generation of the view, made from one journal. `breaks` is how often it has begun anew because rows became
    newer without their changes, as by a repair.
    """

    origin: str
    floor: int
    held: int
    breaks: int

    def continues(self, place: Place) -> bool:
        """Tell whether the feed has all that came after a place.

        Of the place at its very beginning that is not known, once it has been broken: it may be from before.
        """
        return place > (self.floor, 0) or (place == (self.floor, 0) and not self.breaks)


class FeedEntry(NamedTuple):
    """A change in a bucket's feed.

    `after` is the place of the entry before it: whoever stands there or beyond has missed nothing.
    `previous` is the version of the level before it, as far as the view knew; 0: not at all.
    """

    bucket: int
    place: Place
    after: Place
    previous: int
    change: StockChange


class Feed(Owned):
    """The feed of the live generation of a family. Raises ReadModelUnavailableError without Redis.

    Which one is live, `states` finds out; the other methods are about the one it has found. The client must
    answer in bytes and speak RESP3; it is owned: close it, or use the feed as a context manager.
    """

    def __init__(self, redis: Redis, generation: str, *, timeout: float) -> None:
        self._redis = redis
        self._family = generation
        self._timeout = timeout
        self._line = Line(redis, timeout)
        self._live = LiveKeys(self._line, generation)
        self._keys = Keys(generation)

    async def states(self) -> list[FeedState | None]:
        """Return the state of each bucket's feed, None where it has not begun. Three round trips at most."""
        self._keys = await self._live.get()
        keys = [self._keys.offsets(bucket) for bucket in range(BUCKETS)]
        found = await self._line.ask([("HGET", key, _STATE) for key in keys])
        sources = {bucket: _begun(value)[1] for bucket, value in enumerate(found) if value}
        # All of a state in one command: it may begin anew at any time.
        found = await self._line.ask(
            [("HMGET", keys[bucket], _STATE, source, _BREAKS) for bucket, source in sources.items()]
        )
        states: list[FeedState | None] = [None] * BUCKETS
        for (bucket, source), (value, held, breaks) in zip(sources.items(), found, strict=True):
            if value:
                floor, present = _begun(value)
                origin = f"{self._keys.generation} {present}"
                until = int(held) if present == source and held else floor
                states[bucket] = FeedState(origin, floor, until, int(breaks or 0))
        return states

    async def read(self, after: Mapping[int, Place], count: int) -> dict[int, list[FeedEntry]]:
        """Return up to `count` entries after a place, for each bucket given. One round trip."""
        answers = await self._line.ask(
            [
                ("XRANGE", self._keys.feed(bucket), b"(%d-%d" % place, "+", "COUNT", count)
                for bucket, place in after.items()
            ]
        )
        return {
            bucket: [_entry(bucket, *found) for found in answer]
            for bucket, answer in zip(after, answers, strict=True)
        }

    async def agrees(self, buckets: Sequence[int]) -> bool:
        """Tell whether no level's changes are ahead of its row, as within a large transaction."""
        return not any(await self._line.ask([("EXISTS", self._keys.ahead(bucket)) for bucket in buckets]))

    async def ends(self, buckets: Sequence[int]) -> dict[int, Place]:
        """Return the place of the newest entry of each bucket; left out where there is none."""
        answers = await self._line.ask(
            [("XREVRANGE", self._keys.feed(bucket), "+", "-", "COUNT", 1) for bucket in buckets]
        )
        return {
            bucket: _place(answer[0][0]) for bucket, answer in zip(buckets, answers, strict=True) if answer
        }

    @asynccontextmanager
    async def news(self) -> AsyncIterator["News"]:
        """Listen to what grows, from now on, in any generation of the family."""
        server = await self._line.answering()  # what is published reaches every node of a cluster
        with translated():
            async with server.pubsub() as pubsub:
                try:
                    async with asyncio.timeout(self._timeout):
                        await pubsub.psubscribe(f"{self._family}*:feed")
                except TimeoutError as error:
                    raise ReadModelUnavailableError(f"no answer within {self._timeout} s") from error
                news = News(pubsub)
                try:
                    yield news
                finally:
                    await news.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._line.close()
        await self._redis.aclose()


class News:
    """Tells which buckets' feeds have grown; not for certain, so look at times.

    It listens all the time, so that nothing is missed between two calls.
    """

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub
        self._buckets: set[int] = set()
        self._heard = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(), name="feed news")

    async def grown(self, seconds: float) -> set[int]:
        """Return the buckets that have grown since the last call; none after `seconds` of silence."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        if self._listening.done():
            with translated():
                await self._listening
        self._heard.clear()
        buckets, self._buckets = self._buckets, set()
        return buckets

    async def close(self) -> None:
        """Hear no more."""
        await tasks.end(self._listening)
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            while True:
                if message := await self._pubsub.get_message(timeout=math.inf):
                    self._buckets.add(int(message["data"]))
                    self._heard.set()
        finally:
            self._heard.set()


def connect_feed(url: str, *, generation: str = GENERATION, timeout: float = 1.0) -> Feed:
    """Return the feed in the Redis at `url` (see open_redis); nothing is connected yet."""
    return Feed(open_redis(url, timeout), generation, timeout=timeout)


def _begun(value: bytes) -> tuple[int, str]:
    """Return the offset at which a feed begins, and its source."""
    floor, _, source = value.decode().partition(" ")
    return int(floor), source


def _entry(bucket: int, identifier: bytes, fields: Any) -> FeedEntry:  # noqa: ANN401 - a list of pairs, flat
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    change = StockChange.FromString(values[b"c"])
    return FeedEntry(bucket, _place(identifier), _place(values[b"a"]), int(values[b"v"]), change)


def _place(identifier: bytes) -> Place:
    offset, _, number = identifier.partition(b"-")
    return int(offset), int(number)
