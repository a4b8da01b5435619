"""WatchStock on a real server and a real Redis: what is told, where it goes on, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import grpc
import pytest

from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.query.v1.stock_query_service_pb2 import StockChange, WatchStockRequest, WatchStockResponse
from inventory.type.v1.stock_pb2 import StockMovement
from query_svc.read_model import GENERATION, Changes, ReadModelWriter, Told, connect_maintenance
from tests.redis_server import RedisServer
from tests.stock import item, level
from tests.unit.query_svc.conftest import Queries, refusal

Watch: TypeAlias = "grpc.aio.UnaryStreamCall[WatchStockRequest, WatchStockResponse]"
Name = tuple[str, str]

MUG, CUP = ("MUG", "N"), ("CUP", "S")


class Shop:
    """A journal that grows, and the view of it."""

    def __init__(self, writer: ReadModelWriter) -> None:
        self.writer = writer
        self.versions: dict[Name, int] = {}
        self.offset = 0

    async def open(self, *names: Name) -> None:
        """Begin, with the first versions of some levels."""
        await self.writer.resume("journal")
        items = [item(sku, 1) for sku, _ in names]
        await self.writer.apply(Changes(items=items, begun=0), 1)
        self.offset = 1
        await self.change(*names)
        await self.writer.settle()

    async def change(self, *names: Name, told: bool = True, reference: str = "") -> None:
        """Apply the next version of some levels, each by a record of its own."""
        changes, rows, begun = [], {}, self.offset
        for name in names:
            self.versions[name] = version = self.versions.get(name, 0) + 1
            rows[name] = level(*name, version)
            changes.append(Told(self.offset, change(name, version, reference)))
            self.offset += 1
        await self.writer.apply(
            Changes(rows.values(), told=changes if told else (), begun=begun), self.offset
        )


def change(name: Name, version: int, reference: str = "") -> StockChange:
    """Return a change of a level."""
    movement = StockMovement(sku=name[0], location_id=name[1], version=version, reference=reference)
    return StockChange(movement=movement, level=level(*name, version))


@pytest.fixture
async def shop(writer: ReadModelWriter) -> Shop:
    shop = Shop(writer)
    await shop.open(MUG, CUP)
    return shop


async def read(watch: Watch) -> WatchStockResponse:
    """Return the next message, or raise how the watch ended."""
    async with asyncio.timeout(10):
        message = await watch.read()
    assert isinstance(message, WatchStockResponse)
    return message


async def changes(watch: Watch, number: int) -> list[tuple[str, int]]:
    """Return the SKU and the version of the next changes, exactly so many."""
    found: list[tuple[str, int]] = []
    while len(found) < number:
        message = await read(watch)
        assert message.cursor
        found += versions(message.changes)
    assert len(found) == number
    return found


def versions(told: Sequence[StockChange]) -> list[tuple[str, int]]:
    """Return the SKU and the version of each."""
    return [(one.movement.sku, one.movement.version) for one in told]


async def ended(watch: Watch, told: list[int] | None = None) -> str:
    """Return the reason for which a watch ends; `told` has the versions before."""

    async def rest() -> None:
        while True:
            found = [version for _, version in versions((await read(watch)).changes)]
            if told is not None:
                told.extend(found)

    info, _ = await refusal(rest())
    return str(info.reason)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (WatchStockRequest(), [("MUG", 2), ("CUP", 2), ("MUG", 3)]),
        (WatchStockRequest(skus=["MUG", "PAN"]), [("MUG", 2), ("MUG", 3)]),
        (WatchStockRequest(location_ids=["S"]), [("CUP", 2)]),
        (WatchStockRequest(skus=["MUG"], location_ids=["N"]), [("MUG", 2), ("MUG", 3)]),
    ],
)
async def test_what_is_of_interest_is_told(
    shop: Shop, queries: Queries, request_: WatchStockRequest, expected: list[tuple[str, int]]
) -> None:
    watch = queries.stock.WatchStock(request_)
    first = await read(watch)
    assert first.cursor
    assert first.current
    assert not first.changes
    assert not first.levels
    for name in (MUG, CUP, MUG):
        await shop.change(name)
    assert await changes(watch, len(expected)) == expected
    watch.cancel()


async def test_a_change_carries_its_entry_and_its_level(shop: Shop, queries: Queries) -> None:
    watch = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"]))
    await read(watch)
    await shop.change(MUG)
    (told,) = (await read(watch)).changes
    assert told == change(MUG, 2)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (WatchStockRequest(), [MUG, CUP]),
        (WatchStockRequest(skus=["MUG", "PAN"]), [MUG]),
        (WatchStockRequest(location_ids=["S", "N"]), [MUG, CUP]),
        (WatchStockRequest(location_ids=["S"], skus=["MUG"]), []),
    ],
)
async def test_the_present_comes_first_then_what_changes_it(
    shop: Shop, queries: Queries, request_: WatchStockRequest, expected: list[Name]
) -> None:
    request_.include_current = True
    await shop.change(MUG, MUG, CUP)
    watch = queries.stock.WatchStock(request_)
    present: list[Name] = []
    while not (message := await read(watch)).current:
        assert not message.cursor
        assert [one.version for one in message.levels] == [
            shop.versions[one.sku, one.location_id] for one in message.levels
        ]
        present += [(one.sku, one.location_id) for one in message.levels]
    assert sorted(present) == sorted(expected)
    assert message.cursor
    assert not message.changes
    await shop.change(MUG, CUP)
    if expected:
        assert sorted(await changes(watch, len(expected))) == sorted(
            (name[0], shop.versions[name]) for name in expected
        )


async def test_a_watch_goes_on_after_its_cursor(shop: Shop, queries: Queries) -> None:
    watch = queries.stock.WatchStock(WatchStockRequest())
    await read(watch)
    await shop.change(MUG, MUG)
    told: list[tuple[str, int]] = []
    cursors: list[str] = []
    while len(told) < 2:
        message = await read(watch)
        told += versions(message.changes)
        cursors.append(message.cursor)
    watch.cancel()
    await shop.change(CUP, MUG)
    again = queries.stock.WatchStock(WatchStockRequest(cursor=cursors[-1]))
    assert sorted(await changes(again, 2)) == [("CUP", 2), ("MUG", 4)]
    await shop.change(CUP)
    assert await changes(again, 1) == [("CUP", 3)]
    mugs = queries.stock.WatchStock(WatchStockRequest(cursor=cursors[-1], skus=["MUG"]))
    assert await changes(mugs, 1) == [("MUG", 4)]


async def test_a_slow_reader_is_ended_or_told_the_newest(shop: Shop, queries: Queries) -> None:
    slow = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"]))
    lazy = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"], slow_reader=pb.SLOW_READER_COALESCE))
    cursor = (await read(slow)).cursor
    await read(lazy)
    # Far more than the buffers on the way hold.
    for _ in range(80):
        await shop.change(*[MUG] * 250, reference="r" * 1500)
    last, found = shop.versions[MUG], 1
    while found < last:
        told = [version for _, version in versions((await read(lazy)).changes)]
        assert told == sorted(told)
        assert not told or told[0] > found
        found = told[-1] if told else found
    every: list[int] = []
    assert await ended(slow, every) == "WATCH_TOO_SLOW"
    assert every == list(range(2, len(every) + 2))
    # Of so many, not all are kept.
    again = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"], cursor=cursor))
    assert await ended(again) == "CURSOR_EXPIRED"


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_watch_that_begins_as_redis_falls_silent_is_unavailable(
    shop: Shop, queries: Queries, redis: RedisServer, *, resumed: bool
) -> None:
    assert shop
    cursor = (await read(queries.stock.WatchStock(WatchStockRequest()))).cursor
    request = WatchStockRequest(cursor=cursor) if resumed else WatchStockRequest(include_current=True)
    with redis.client() as client:
        client.execute_command("CLIENT", "PAUSE", "2000", "ALL")
        info, code = await refusal(queries.stock.WatchStock(request).read())
        client.ping()  # answered when the pause is over
    assert code is grpc.StatusCode.UNAVAILABLE
    assert info.metadata["dependency"] == "read model"


@pytest.mark.parametrize("cursor", ["x", "AQ", "ж", "!" * 512, "A" * 512, "AQAAAAAAAAAAAAA="])
async def test_a_cursor_of_nobodys_is_refused(queries: Queries, cursor: str) -> None:
    info, code = await refusal(queries.stock.WatchStock(WatchStockRequest(cursor=cursor)).read())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert info.reason == "INVALID_CURSOR"
    assert info.metadata["cursor"][:9] == cursor[:9]


async def test_a_row_that_changes_untold_ends_the_watch(shop: Shop, queries: Queries) -> None:
    watch = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"]))
    cursor = (await read(watch)).cursor
    await shop.change(MUG, told=False)
    assert await ended(watch) == "CURSOR_EXPIRED"
    again = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"], cursor=cursor))
    assert await ended(again) == "CURSOR_EXPIRED"
    anew = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"]))
    await read(anew)
    await shop.change(MUG)
    assert await changes(anew, 1) == [("MUG", 3)]


async def test_a_row_that_is_repaired_behind_what_was_read_ends_the_watch(
    shop: Shop, queries: Queries, redis: RedisServer
) -> None:
    """At the very place where the reader stands: nothing but the repair itself shows that it was."""
    watch = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"]))
    cursor = (await read(watch)).cursor
    async with connect_maintenance(redis.url, GENERATION) as maintenance:
        await maintenance.put(Changes([level(*MUG, 2)]))
    assert await ended(watch) == "CURSOR_EXPIRED"
    again = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"], cursor=cursor))
    assert await ended(again) == "CURSOR_EXPIRED"
    shop.versions[MUG] = 2
    anew = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"]))
    await read(anew)
    await shop.change(MUG)
    while not (message := await read(anew)).changes:
        pass
    assert versions(message.changes) == [("MUG", 3)]
    await shop.change(MUG)
    resumed = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"], cursor=message.cursor))
    assert await changes(resumed, 1) == [("MUG", 4)]


async def test_a_gap_that_cannot_be_filled_ends_the_watch_of_the_level_alone(
    shop: Shop, queries: Queries
) -> None:
    watches = [queries.stock.WatchStock(WatchStockRequest(skus=[sku])) for sku in ("MUG", "CUP")]
    for watch in watches:
        await read(watch)
    shop.versions[MUG] += 1  # a change that never comes; and there is no database
    await shop.change(MUG, CUP)
    assert await ended(watches[0]) == "DEPENDENCY_UNAVAILABLE"
    assert await changes(watches[1], 1) == [("CUP", 2)]


@pytest.mark.parametrize("trimmed", [False, True])
async def test_a_redis_that_lost_all_tells_nothing_twice_and_hides_no_gap(
    shop: Shop,
    queries: Queries,
    redis: RedisServer,
    trimmed: bool,  # noqa: FBT001 - a case
) -> None:
    watch = queries.stock.WatchStock(WatchStockRequest(skus=["MUG"]))
    await read(watch)
    await shop.change(MUG, MUG)
    assert await changes(watch, 2) == [("MUG", 2), ("MUG", 3)]
    with redis.client() as client:
        client.flushall()
    last, shop.versions = shop.versions, {}
    await shop.writer.resume("journal")
    if trimmed:
        # Of the journal, the last record alone is left; and it was lost before anybody had seen it.
        shop.versions, shop.offset = last, shop.offset + 1
        shop.versions[MUG] += 1
        await shop.change(MUG)
        await shop.writer.settle()
        assert await ended(watch) == "CURSOR_EXPIRED"
        return
    await shop.writer.apply(Changes(begun=0), 1)
    shop.offset = 1
    await shop.change(MUG, CUP, MUG, MUG, MUG)
    assert await changes(watch, 1) == [("MUG", 4)]
