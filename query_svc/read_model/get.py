"""Reading the read model."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar, cast

from redis.asyncio import Redis

from inventory.type.v1.item_pb2 import Item
from inventory.type.v1.location_pb2 import Location
from inventory.type.v1.lot_pb2 import Lot
from inventory.type.v1.order_pb2 import Order
from inventory.type.v1.reservation_pb2 import Reservation
from inventory.type.v1.stock_pb2 import StockLevel
from inventory.type.v1.transfer_pb2 import Transfer
from query_svc.read_model.connection import open_redis
from query_svc.read_model.generations import LiveKeys
from query_svc.read_model.indexes import member
from query_svc.read_model.keys import BUCKETS, GENERATION, bucket_of
from query_svc.read_model.line import Line
from query_svc.read_model.maintenance import Maintenance
from query_svc.read_model.marks import Mark, newest
from query_svc.read_model.owned import Owned
from query_svc.read_model.retention import Retention
from query_svc.read_model.values import unpack, unpack_level
from query_svc.read_model.walk import Span, walk

MAX_NAMES = 500

M = TypeVar("M", Item, Location, Reservation, Order, Transfer)


class ReadModel(Owned):
    """The view of the stock as the projector keeps it: behind the commits by milliseconds.

    Reads the generation that is live, of the family `generation`. Every read is one round trip, and once a
    second another, and raises ReadModelUnavailableError when Redis does not answer in time. The client
    must answer in bytes and speak RESP3, as that of `open_redis`; it is owned: close it, or use the read
    model as a context manager.
    """

    def __init__(
        self,
        redis: Redis,
        generation: str = GENERATION,
        *,
        timeout: float = 1.0,
        retention: Retention = Retention(),  # noqa: B008 - it never changes
    ) -> None:
        self._redis = redis
        self._retention = retention
        self._line = Line(redis, timeout)
        self._live = LiveKeys(self._line, generation)
        self._maintained: Maintenance | None = None

    @property
    def kept_since(self) -> datetime:
        """The instant since which all that has changed is there; of what is closed, no more need be."""
        return self._retention.kept_since(datetime.now(UTC))

    async def level(self, sku: str, location_id: str) -> StockLevel | None:
        """Return the level of an item at a location, None when it has never been stocked there."""
        keys = await self._live.get()
        (value,) = await self._line.ask([("HGET", keys.levels(sku), location_id)])
        return None if value is None else unpack_level(sku, location_id, value)

    async def levels(self, names: Sequence[tuple[str, str]]) -> list[StockLevel | None]:
        """Return the levels of up to 500 (sku, location_id), in that order, None where there is none."""
        _check_number(names)
        keys = await self._live.get()
        values = await self._line.ask([("HGET", keys.levels(sku), location_id) for sku, location_id in names])
        return [
            None if value is None else unpack_level(sku, location_id, value)
            for (sku, location_id), value in zip(names, values, strict=True)
        ]

    async def levels_of_item(self, sku: str) -> list[StockLevel]:
        """Return the levels of an item over all its locations, by location_id."""
        (levels,) = await self.levels_of_items([sku])
        return levels

    async def availability(self, sku: str) -> tuple[Item | None, list[StockLevel]]:
        """Return an item, None when there is none, and its levels as `levels_of_item` does."""
        keys = await self._live.get()
        value, answer = await self._line.ask(
            [("HGET", keys.items(bucket_of(sku)), sku), ("HGETALL", keys.levels(sku))]
        )
        return None if value is None else unpack(Item, value), _levels(sku, answer)

    async def levels_of_items(self, skus: Sequence[str]) -> list[list[StockLevel]]:
        """Return the levels of up to 500 items, each item's by location_id."""
        _check_number(skus)
        keys = await self._live.get()
        answers = await self._line.ask([("HGETALL", keys.levels(sku)) for sku in skus])
        return [_levels(sku, answer) for sku, answer in zip(skus, answers, strict=True)]

    async def item(self, sku: str) -> Item | None:
        """Return an item, None when there is none."""
        (item,) = await self.items([sku])
        return item

    async def items(self, skus: Sequence[str]) -> list[Item | None]:
        """Return up to 500 items by their SKUs, in that order, None where there is none."""
        return await self._named(Item, "items", skus)

    async def location(self, location_id: str) -> Location | None:
        """Return a location, None when there is none."""
        (location,) = await self._named(Location, "locations", [location_id])
        return location

    async def reservations(self, ids: Sequence[str]) -> list[Reservation | None]:
        """Return up to 500 reservations by their ids, in that order, None where there is none."""
        return await self._named(Reservation, "reservations", ids)

    async def orders(self, ids: Sequence[str]) -> list[Order | None]:
        """Return up to 500 orders by their ids, in that order, None where there is none."""
        return await self._named(Order, "orders", ids)

    async def transfers(self, ids: Sequence[str]) -> list[Transfer | None]:
        """Return up to 500 transfers by their ids, in that order, None where there is none."""
        return await self._named(Transfer, "transfers", ids)

    async def lots(self, names: Sequence[tuple[str, str, str]]) -> list[Lot | None]:
        """Return up to 500 lots by (sku, location_id, lot_id), in that order, None where there is none."""
        _check_number(names)
        keys = await self._live.get()
        values = await self._line.ask(
            [("HGET", keys.lots(sku), member(place, lot_id)) for sku, place, lot_id in names]
        )
        return [None if value is None else unpack(Lot, value) for value in values]

    async def tails(
        self, span: Span, *, after: str | None, count: int, descending: bool = False
    ) -> list[str]:
        """Return what follows the span's prefix in the next `count` members after a tail; see `walk`."""
        keys = await self._live.get()
        return await walk(self._line, keys, span, after=after, count=count, descending=descending)

    async def locations(self) -> list[Location]:
        """Return every location, by location_id."""
        keys = await self._live.get()
        buckets = await self._line.ask([("HVALS", keys.locations(bucket)) for bucket in range(BUCKETS)])
        found = [unpack(Location, value) for values in buckets for value in values]
        return sorted(found, key=lambda location: location.location_id)

    async def maintenance(self) -> Maintenance:
        """Return the maintenance of the generation that is live now, over this client: do not close it."""
        keys = await self._live.get()
        if self._maintained is None or self._maintained.generation != keys.generation:
            if self._maintained is not None:
                await self._maintained.release()
            self._maintained = Maintenance(self._redis, keys.generation)
        return self._maintained

    async def newest_mark(self) -> Mark | None:
        """Return what the view has come to hold last; None when it has never held anything."""
        return await newest(self._line, await self._live.get())

    @property
    def losses(self) -> int:
        """How many connections to Redis have broken: with each it may have lost what it had."""
        return self._line.losses

    async def ping(self) -> None:
        """Return when Redis answers."""
        await self._line.ask([("PING",)])

    async def close(self) -> None:
        """Close every connection."""
        await self._line.close()
        if self._maintained is not None:
            await self._maintained.release()
        await self._redis.aclose()

    async def _named(self, kind: type[M], name: str, ids: Sequence[str]) -> list[M | None]:
        _check_number(ids)
        keys = await self._live.get()
        values = await self._line.ask([("HGET", keys.of_bucket(bucket_of(one), name), one) for one in ids])
        return [None if value is None else unpack(kind, value) for value in values]


def _levels(sku: str, answer: object) -> list[StockLevel]:
    values = cast("dict[bytes, bytes]", answer)
    return [unpack_level(sku, name.decode(), value) for name, value in sorted(values.items())]


def _check_number(names: Sequence[object]) -> None:
    if len(names) > MAX_NAMES:
        raise ValueError(f"at most {MAX_NAMES} names at once, not {len(names)}")


def connect(
    url: str,
    *,
    generation: str = GENERATION,
    timeout: float = 1.0,
    retention: Retention = Retention(),  # noqa: B008 - it never changes
) -> ReadModel:
    """Return the read model in the Redis at `url` (see open_redis); nothing is connected yet.

    A call takes at most `timeout` seconds, connecting included. `retention` is what the reconciliation and
    the rebuild go by.
    """
    return ReadModel(open_redis(url, timeout), generation, timeout=timeout, retention=retention)
