"""Reading the read model."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Self, cast

from redis.asyncio import Redis

from inventory.type.v1.item_pb2 import Item
from inventory.type.v1.location_pb2 import Location
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model.connection import open_redis
from query_svc.read_model.errors import translated
from query_svc.read_model.keys import BUCKETS, Keys, bucket_of
from query_svc.read_model.line import Line
from query_svc.read_model.values import unpack, unpack_level

MAX_NAMES = 500
SCAN_COUNT = 500


class ReadModel:
    """The view of the stock as the projector keeps it: behind the commits by milliseconds.

    Every read is one round trip and raises ReadModelUnavailableError when Redis does not answer in
    time. The client must answer in bytes and speak RESP3, as that of `open_redis`; it is owned: close it,
    or use the read model as a context manager.
    """

    def __init__(self, redis: Redis, generation: str = "g1", *, timeout: float = 1.0) -> None:
        self._redis = redis
        self._line = Line(redis, timeout)
        self._keys = Keys(generation)

    async def level(self, sku: str, location_id: str) -> StockLevel | None:
        """Return the level of an item at a location, None when it has never been stocked there."""
        (value,) = await self._line.ask([("HGET", self._keys.levels(sku), location_id)])
        return None if value is None else unpack_level(sku, location_id, value)

    async def levels(self, names: Sequence[tuple[str, str]]) -> list[StockLevel | None]:
        """Return the levels of up to 500 (sku, location_id), in that order, None where there is none."""
        _check_number(names)
        values = await self._line.ask(
            [("HGET", self._keys.levels(sku), location_id) for sku, location_id in names]
        )
        return [
            None if value is None else unpack_level(sku, location_id, value)
            for (sku, location_id), value in zip(names, values, strict=True)
        ]

    async def levels_of_item(self, sku: str) -> list[StockLevel]:
        """Return the levels of an item over all its locations, by location_id."""
        (answer,) = await self._line.ask([("HGETALL", self._keys.levels(sku))])
        values = cast("dict[bytes, bytes]", answer)
        return [unpack_level(sku, name.decode(), value) for name, value in sorted(values.items())]

    async def item(self, sku: str) -> Item | None:
        """Return an item, None when there is none."""
        (item,) = await self.items([sku])
        return item

    async def items(self, skus: Sequence[str]) -> list[Item | None]:
        """Return up to 500 items by their SKUs, in that order, None where there is none."""
        _check_number(skus)
        values = await self._line.ask([("HGET", self._keys.items(bucket_of(sku)), sku) for sku in skus])
        return [None if value is None else unpack(Item, value) for value in values]

    async def locations(self) -> list[Location]:
        """Return every location, by location_id."""
        buckets = await self._line.ask([("HVALS", self._keys.locations(bucket)) for bucket in range(BUCKETS)])
        found = [unpack(Location, value) for values in buckets for value in values]
        return sorted(found, key=lambda location: location.location_id)

    async def level_names(self) -> AsyncIterator[list[tuple[str, str]]]:
        """Yield every (sku, location_id) there is, in pages and in no order; a name may come twice.

        Many round trips. What comes or goes meanwhile may or may not be among them.
        """
        async for keys in self._walk(partial(self._redis.scan, match=self._keys.levels_pattern())):
            found = await self._line.ask([("HKEYS", key) for key in keys])
            yield [
                (self._keys.sku_of_levels(key.decode()), location_id.decode())
                for key, location_ids in zip(keys, found, strict=True)
                for location_id in location_ids
            ]

    async def skus(self) -> AsyncIterator[list[str]]:
        """Yield the SKU of every item there is, in pages and in no order, as `level_names` does."""
        for bucket in range(BUCKETS):
            async for skus in self._walk(partial(self._redis.hscan, self._keys.items(bucket))):
                yield [sku.decode() for sku in skus]

    async def ping(self) -> None:
        """Return when Redis answers."""
        await self._line.ask([("PING",)])

    async def close(self) -> None:
        """Close every connection."""
        await self._line.close()
        await self._redis.aclose()

    async def _walk(self, scan: Callable[..., Awaitable[Any]]) -> AsyncIterator[list[bytes]]:
        """Yield what a SCAN command finds, page by page."""
        cursor = None
        while cursor != 0:
            with translated():
                cursor, page = await scan(cursor=cursor or 0, count=SCAN_COUNT)
            if page:
                yield list(page)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _check_number(names: Sequence[object]) -> None:
    if len(names) > MAX_NAMES:
        raise ValueError(f"at most {MAX_NAMES} names at once, not {len(names)}")


def connect(url: str, *, generation: str = "g1", timeout: float = 1.0) -> ReadModel:
    """Return the read model in the Redis at `url` (redis://HOST:PORT/DB); nothing is connected yet.

    A call takes at most `timeout` seconds, connecting included.
    """
    return ReadModel(open_redis(url, timeout), generation, timeout=timeout)
