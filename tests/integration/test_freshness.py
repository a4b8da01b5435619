"""Queries on a real database and a view of the test's own, which is as far behind as the test lets it be."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2, status_pb2

from cdc.projector import project
from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.catalog import ArchiveItem, CreateItem
from command_svc.domain.item import Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.lot import LotReceipt
from command_svc.domain.orders import CancelOrder, OrderOutcome, PlaceOrder
from command_svc.domain.reservations import ReserveStock
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, SetStockPolicy
from command_svc.domain.transfers import DispatchedLine, DispatchTransfer
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.query.v1 import consistency_pb2 as pb
from inventory.query.v1 import stock_query_service_pb2 as stock
from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceStub
from query_svc.config import QuerySettings
from query_svc.database import Database
from query_svc.database_source import DatabaseSource
from query_svc.index_sql import WALKS
from query_svc.read_model import ReadModelWriter, Span, connect, connect_writer
from query_svc.server import assemble
from serving import tokens
from stack.supervisor import Supervisor
from tests.integration.command_svc.story import Story
from tests.redis_server import RedisServer, binaries, redis_server
from tests.stack_fixture import RunningStack, running_stack

if TYPE_CHECKING:
    from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceAsyncStub

pytestmark = pytest.mark.stack

TERMS = Terms(Strategy("PRIORITY"), backorder=True)
NO_TOKEN = pb.Consistency()
FULLY = pb.Consistency(fully_consistent=True)


@pytest.fixture(scope="module")
def database() -> Iterator[RunningStack]:
    """Give a PostgreSQL with the schema, and nothing else."""
    with running_stack("freshness", only=("postgres", "database")) as running:
        yield running


@pytest.fixture
async def story(database: RunningStack) -> AsyncIterator[Story]:
    """Give a story in an empty database."""
    with psycopg.connect(database.postgres_url("owner"), autocommit=True) as owner:
        owner.execute("TRUNCATE items, locations, orders, reservations, transfers, journal CASCADE")
    async with Story(database) as story:
        yield story


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Give a Redis, empty, which forgets all when it is killed."""
    with redis_server(binaries()["valkey"], tmp_path) as server:
        yield server


class World:
    """The query service, and the projector's work done by hand."""

    def __init__(self, stub: StockQueryServiceAsyncStub, story: Story, writer: ReadModelWriter) -> None:
        self.stub = stub
        self.story = story
        self._writer = writer

    async def project(self) -> None:
        """Apply what the view has not applied of the journal."""
        rows = self.story.ask("SELECT payload FROM journal ORDER BY create_time, id, part")
        start = await self._writer.resume("journal")
        if start is None:
            await self._writer.fill(len(rows))
        done = project([bytes(row["payload"]) for row in rows[start or 0 :]])
        assert done.fault is None
        await self._writer.apply(done.changes, len(rows), done.commits)
        await self._writer.settle()

    def token(self) -> str:
        """Return the token of the newest transaction."""
        (row,) = self.story.ask("SELECT id, create_time FROM journal ORDER BY create_time DESC LIMIT 1")
        return tokens.encode(row["id"], row["create_time"])

    def newest(self) -> pb.Consistency:
        """Return the demand for the newest transaction."""
        return pb.Consistency(at_least_as_fresh=self.token())

    async def ask(self, level: LevelKey, consistency: pb.Consistency = NO_TOKEN) -> tuple[int, pb.Freshness]:
        """Return what is on hand, and how fresh that is."""
        request = stock.GetStockLevelRequest(
            sku=level.sku, location_id=level.location_id, consistency=consistency
        )
        answer = await self.stub.GetStockLevel(request, timeout=5)
        return answer.level.on_hand, answer.freshness

    async def until(self, level: LevelKey, source: pb.Source.ValueType) -> pb.Freshness:
        """Ask until the answer comes from a source."""
        async with asyncio.timeout(20):
            while True:
                try:
                    _, freshness = await self.ask(level)
                    if freshness.source == source:
                        return freshness
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - until it is back
                await asyncio.sleep(0.05)


@pytest.fixture
async def world(database: RunningStack, story: Story, redis: RedisServer) -> AsyncIterator[World]:
    """Give the service as its composition root makes it."""
    settings = QuerySettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "redis_url": redis.url,
            "redis_timeout_seconds": 1,
            "database_url": database.postgres_url("query"),
            "connect_timeout_seconds": 1,
            "token_wait_seconds": 0.5,
            "drain_seconds": 0,
        }
    )
    async with assemble(settings) as server, connect_writer(redis.url) as writer:
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield World(StockQueryServiceStub(channel), story, writer)
        await server.shut_down()


async def level_of(story: Story) -> LevelKey:
    """Return a level that holds 7."""
    level = LevelKey(await story.item("mug"), await story.place("north"))
    await story.all(AddStock(level, 7, "RECEIPT"))
    return level


async def refused(call: Awaitable[object]) -> str:
    """Return the reason of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    info = error_details_pb2.ErrorInfo()
    packed = dict(refusal.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert status_pb2.Status.FromString(packed).details[0].Unpack(info)
    return str(info.reason)


async def test_nothing_older_than_a_token_is_answered(world: World) -> None:
    level = await level_of(world.story)
    await world.project()
    on_hand, freshness = await world.ask(level, world.newest())
    assert (on_hand, freshness.source, freshness.degraded) == (7, pb.SOURCE_VIEW, False)

    await world.story.all(AddStock(level, 1, "RECEIPT"))
    assert (await world.ask(level))[0] == 7  # as the view is
    on_hand, freshness = await world.ask(level, world.newest())
    assert (on_hand, freshness.source, freshness.degraded) == (8, pb.SOURCE_DATABASE, True)
    assert freshness.HasField("as_of")

    await world.story.all(AddStock(level, 1, "RECEIPT"))
    waiting = asyncio.create_task(world.ask(level, world.newest()))
    await asyncio.sleep(0.1)
    await world.project()
    on_hand, freshness = await waiting
    assert (on_hand, freshness.source) == (9, pb.SOURCE_VIEW_AFTER_WAIT)


async def test_what_is_fully_consistent_comes_from_the_database(world: World) -> None:
    level = await level_of(world.story)
    await world.project()
    await world.story.all(AddStock(level, 3, "RECEIPT"))
    on_hand, freshness = await world.ask(level, FULLY)
    assert (on_hand, freshness.source, freshness.degraded) == (10, pb.SOURCE_DATABASE, False)
    assert freshness.age.ToTimedelta() < timedelta(seconds=5)


async def test_tokens_of_nobody_are_refused(world: World) -> None:
    level = await level_of(world.story)
    await world.project()
    now = datetime.now(UTC)
    milliseconds = int(now.timestamp() * 1000)
    foreign = uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | 12345)
    later = uuid.UUID(int=(milliseconds + 3_600_000) << 80 | 7 << 76 | 2 << 62)
    for token in (
        "",
        "nonsense",
        "x" * 128,
        tokens.encode(uuid.uuid4(), now),
        tokens.encode(foreign, now),
        tokens.encode(later, now + timedelta(hours=1)),
    ):
        reason = await refused(world.ask(level, pb.Consistency(at_least_as_fresh=token)))
        assert reason == "INVALID_CONSISTENCY_TOKEN", token


async def test_without_redis_the_database_answers_until_the_view_is_whole_again(
    world: World, redis: RedisServer
) -> None:
    level = await level_of(world.story)
    await world.project()
    await world.until(level, pb.SOURCE_VIEW)
    redis.kill()
    for _ in range(20):
        on_hand, freshness = await world.ask(level, world.newest())
        assert (on_hand, freshness.source, freshness.degraded) == (7, pb.SOURCE_DATABASE, True)
    redis.start()
    for _ in range(20):  # it is there, and has nothing
        on_hand, freshness = await world.ask(level)
        assert (on_hand, freshness.source, freshness.degraded) == (7, pb.SOURCE_DATABASE, True)
    await world.project()
    await world.until(level, pb.SOURCE_VIEW)
    assert (await world.ask(level, world.newest()))[1].source == pb.SOURCE_VIEW


async def test_without_the_database_levels_are_served_with_their_age(
    world: World, database: RunningStack
) -> None:
    level = await level_of(world.story)
    await world.project()
    consistency = world.newest()
    await world.until(level, pb.SOURCE_VIEW)
    supervisor = Supervisor(database.home)
    supervisor.stop_program("postgres")
    try:
        await asyncio.sleep(5.5)
        on_hand, freshness = await world.ask(level, consistency)
        assert (on_hand, freshness.source, freshness.degraded) == (7, pb.SOURCE_VIEW, True)
        assert freshness.age.ToTimedelta() > timedelta(seconds=5)
        assert await refused(world.ask(level, FULLY)) == "DEPENDENCY_UNAVAILABLE"
    finally:
        supervisor.start_program("postgres")
        database.wait_ready("postgres")
    async with asyncio.timeout(20):
        while True:
            try:
                assert (await world.ask(level, FULLY))[0] == 7
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - until it is back
                await asyncio.sleep(0.1)
            else:
                break


async def test_both_sources_say_the_same(
    world: World, story: Story, database: RunningStack, redis: RedisServer
) -> None:
    await everything(story)
    await world.project()
    url = database.postgres_url("query")
    async with (
        connect(redis.url) as view,
        Database(url, connections=1, connect_timeout=5) as source,
        source.snapshot(10) as snapshot,
    ):
        rows = DatabaseSource(snapshot)
        skus = [row["sku"] for row in story.ask("SELECT sku FROM items")]
        assert await rows.items([*skus, "none"]) == await view.items([*skus, "none"])
        assert await rows.levels_of_items(skus) == await view.levels_of_items(skus)
        assert await rows.availability(skus[0]) == await view.availability(skus[0])
        locations = await view.locations()
        assert await rows.locations() == locations
        for location in locations:
            assert await rows.location(location.location_id) == location
        levels = [(one.sku, one.location_id) for some in await view.levels_of_items(skus) for one in some]
        assert await rows.levels([*levels, ("a", "b")]) == await view.levels([*levels, ("a", "b")])
        for kind in ("reservations", "orders", "transfers"):
            ids = [str(row["id"]) for row in story.ask(f"SELECT {kind[:-1]}_id AS id FROM {kind}")]  # noqa: S608
            found = await getattr(view, kind)(ids)
            assert found
            assert await getattr(rows, kind)(ids) == found
        lots = [tuple(row.values()) for row in story.ask("SELECT sku, location_id, lot_id FROM lots")]
        assert len(lots) == 3
        assert await rows.lots(lots) == await view.lots(lots)
        for index in WALKS:
            for descending in (False, True):
                whole = Span(index)
                tails = await view.tails(whole, after=None, count=100, descending=descending)
                assert tails, f"nothing stands in {index}"
                assert await rows.tails(whole, after=None, count=100, descending=descending) == tails
                for tail in tails:
                    for span in spans(index, tail):
                        for after in (None, tail[len(span.prefix) :]):
                            asked = {"after": after, "count": 3, "descending": descending}
                            expected = await view.tails(span, **asked)  # type: ignore[arg-type] # as above
                            assert await rows.tails(span, **asked) == expected  # type: ignore[arg-type]


def spans(index: str, tail: str) -> list[Span]:
    """Return spans with the tail's first part for a prefix, and with the tail for either bound."""
    first, mark, rest = tail.partition("\0")
    within = [Span(index, f"{first}\0"), Span(index, f"{first}\0", rest[:5])] if mark else []
    return [*within, Span(index, "", tail), Span(index, "", "", tail), Span(index, "", first[:13])]


async def everything(story: Story) -> None:
    """Let something of every kind happen, so that no index is empty."""
    mug = await story.item(
        "mug", categories=("home/kitchen", "home/gifts", "sale"), tags=("new",), barcodes=("400",)
    )
    tea, old = await story.item("tea", lot_tracked=True), await story.item("old", categories=("home",))
    await story.all(CreateItem(Item(story.name("mug-red"), "Mug, red", parent_sku=mug)), ArchiveItem(old))
    north, south = await story.place("north"), await story.place("south")
    at_north, at_south = LevelKey(mug, north), LevelKey(mug, south)
    soon = datetime.now(UTC).date() + timedelta(days=9)
    await story.all(
        AddStock(at_north, 9, "RECEIPT"),
        AddStock(at_south, 2, "RECEIPT"),
        SetStockPolicy(at_south, reorder_point=5, backorder_limit=9),
        AddStock(LevelKey(tea, north), 5, "RECEIPT", lot=LotReceipt("a", soon)),
        AddStock(LevelKey(tea, north), 5, "RECEIPT", lot=LotReceipt("b")),
        AddStock(LevelKey(tea, south), 5, "RECEIPT", lot=LotReceipt("a", soon)),
    )
    hour = timedelta(hours=1)
    await story.all(
        ReserveStock((WantedLine(mug, north, 1),), hour, TERMS, channel="web", reference="basket"),
        ReserveStock((WantedLine(tea, north, 6),), hour, TERMS, reference="basket"),
        PlaceOrder((WantedLine(mug, south, 4),), TERMS, reference="W-1"),
    )
    second = await story.one(PlaceOrder((WantedLine(mug, north, 1),), TERMS, reference="W-2"), OrderOutcome)
    await story.all(
        CancelOrder(second.order.order_id),
        DispatchTransfer(north, "", south, (DispatchedLine(mug, 2),), None, "truck"),
        DispatchTransfer("", "ACME", north, (DispatchedLine(mug, 2), DispatchedLine(tea, 1))),
    )


def test_the_pulse_is_a_transaction_in_which_nothing_happened(database: RunningStack, story: Story) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    with psycopg.connect(database.postgres_url("cdc"), autocommit=True) as connection:
        connection.execute("SELECT public.pulse()")
    (row,) = story.ask("SELECT * FROM journal")
    pulse = Transaction.FromString(row["payload"])
    beat = pulse.record_time.ToDatetime(UTC)
    assert beat == row["create_time"] >= before
    expected = Transaction(transaction_id=str(row["id"]), part=1, part_count=1)
    expected.record_time.FromDatetime(beat)
    assert pulse == expected
    assert project([bytes(row["payload"])]).commits.ids == [row["id"].bytes]
