"""Locks, time, connections: what goes wrong in the database, and what the lane's callers learn of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic

import psycopg
import pytest

from command_svc import journal
from command_svc.batcher import Batcher, Limits
from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.catalog import CreateItem
from command_svc.domain.item import BUNDLE, Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.reservations import ReserveStock
from command_svc.domain.scope import Scope
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, MoveStock, RemoveStock
from command_svc.store.errors import UnavailableError
from command_svc.store.store import CommandStore
from command_svc.waiting import ExpiredError
from stack.addresses import DATABASE
from stack.supervisor import Supervisor
from tests.chaos.wire_proxy import Stop, wire_proxy
from tests.integration.command_svc.shop import Row, Shop, open_shop
from tests.stack_fixture import RunningStack, running_stack

pytestmark = pytest.mark.stack

STOCK = 100
LOCK = "SELECT FROM stock_levels WHERE sku = %s AND location_id = %s FOR UPDATE"


@pytest.fixture(scope="module")
def database() -> Iterator[RunningStack]:
    """Give a database that may be hurt."""
    with running_stack("test-faults", only=("postgres", "database")) as running:
        yield running


@pytest.fixture
async def shop(database: RunningStack) -> Shop:
    """Give an item with stock at both places."""
    shop = await open_shop(database)
    await shop.carry_out(AddStock(shop.north, STOCK, "RECEIPT"), AddStock(shop.south, STOCK, "RECEIPT"))
    return shop


@asynccontextmanager
async def lane(
    url: str, *, connections: int = 2, statement_timeout: float = 10.0, lock_timeout: float = 10.0
) -> AsyncIterator[Batcher]:
    """Run a lane with a store whose bounds are the test's; end the test rather than wait for ever."""
    store = CommandStore(
        url,
        journal.encode,
        connections=connections,
        statement_timeout=statement_timeout,
        connect_timeout=5.0,
        lock_timeout=lock_timeout,
    )
    async with asyncio.timeout(30), store, Batcher(store, Limits()) as batcher:
        yield batcher


@asynccontextmanager
async def locked(shop: Shop, key: LevelKey) -> AsyncIterator[psycopg.AsyncConnection]:
    """Hold a level's lock for the block."""
    async with await psycopg.AsyncConnection.connect(
        shop.stack.postgres_url("postgres"), dbname=DATABASE
    ) as neighbour:
        await neighbour.execute(LOCK, key)
        yield neighbour


async def waits(shop: Shop) -> None:
    """Return once a transaction of the lane waits for a lock."""
    while not shop.ask("SELECT FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.01)


async def test_no_statement_outlives_the_longest_of_its_callers(shop: Shop) -> None:
    async with lane(shop.url) as batcher:
        async with locked(shop, shop.north):
            begun = monotonic()
            asked = [(shop.one(RemoveStock(shop.north, 1, "SALE")), within) for within in (0.3, 0.6)]
            outcomes = await asyncio.gather(*(batcher.submit(*one) for one in asked), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [ExpiredError, ExpiredError]
            assert 0.6 <= monotonic() - begun < 5  # the store's own bound is twice that
            # The bound was that transaction's alone: this one waits longer on the same connection.
            patient = asyncio.create_task(batcher.submit(shop.one(RemoveStock(shop.north, 1, "SALE")), 9))
            await asyncio.sleep(1)
            assert not patient.done()
        assert isinstance((await patient)[0], bytes)
    assert shop.audit()[shop.north] == Row(STOCK - 1, 2)


async def test_who_expires_while_the_transaction_waits_is_not_decided(shop: Shop) -> None:
    async with lane(shop.url) as batcher:
        async with locked(shop, shop.north):
            hurried = asyncio.create_task(batcher.submit(shop.one(RemoveStock(shop.north, 1, "SALE")), 0.3))
            patient = asyncio.create_task(batcher.submit(shop.one(RemoveStock(shop.north, 2, "SALE")), 9))
            await asyncio.sleep(0.5)
        with pytest.raises(ExpiredError):
            await hurried
        assert isinstance((await patient)[0], bytes)
    assert shop.audit()[shop.north] == Row(STOCK - 2, 2)


async def test_a_lock_that_is_not_had_fails_nobody_who_does_not_need_it(shop: Shop) -> None:
    async with lane(shop.url, lock_timeout=0.2) as batcher:
        async with locked(shop, shop.north):
            stuck = asyncio.create_task(batcher.submit(shop.one(RemoveStock(shop.north, 1, "SALE")), 9))
            others = [batcher.submit(shop.one(RemoveStock(shop.south, 1, "SALE")), 9) for _ in range(7)]
            for (answer,) in await asyncio.gather(*others):
                assert isinstance(answer, bytes)
            assert not stuck.done()
        assert isinstance((await stuck)[0], bytes)
    assert shop.audit() == {shop.north: Row(STOCK - 1, 2), shop.south: Row(STOCK - 7, 8)}


async def test_a_deadlock_is_tried_again(shop: Shop) -> None:
    async with lane(shop.url) as batcher:
        async with locked(shop, shop.north) as neighbour:
            await neighbour.execute("SET LOCAL deadlock_timeout = '20s'")  # the lane's own is one second
            move = shop.one(MoveStock(shop.north, shop.south, 3, "REBALANCE"))
            moving = asyncio.create_task(batcher.submit(move, 9))
            await waits(shop)  # with the lock of the place that comes first in the order
            await neighbour.execute(LOCK, shop.south)
        assert isinstance((await moving)[0], bytes)
    assert shop.audit() == {shop.north: Row(STOCK - 3, 2), shop.south: Row(STOCK + 3, 2)}
    assert "deadlock detected" in shop.stack.home.log("postgres").read_text(errors="replace")


async def test_a_caller_that_goes_away_does_not_stop_a_commit(shop: Shop) -> None:
    async with wire_proxy(shop.url) as proxy:
        stop = proxy.stop = Stop("COMMIT", answered=True)
        async with lane(proxy.url) as batcher:
            asked = shop.one(RemoveStock(shop.north, 1, "SALE"))
            gone = asyncio.create_task(batcher.submit(asked))
            await stop.reached.wait()
            gone.cancel()
            proxy.stop = None
            proxy.cut()
            ((answer,),) = shop.ask(
                "SELECT response FROM requests WHERE request_id = %(id)s",
                {"id": asked.requests[0].request_id},
            )
            assert await batcher.submit(asked) == [answer]
    assert shop.audit()[shop.north] == Row(STOCK - 1, 2)


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(Stop("BEGIN"), id="before anything"),
        pytest.param(Stop("COMMIT"), id="before the commit"),
        pytest.param(Stop("COMMIT", answered=True, awaited=False), id="in the commit"),
        pytest.param(Stop("COMMIT", answered=True), id="after the commit"),
    ],
)
async def test_a_cut_connection_costs_no_caller_its_answer(shop: Shop, stop: Stop) -> None:
    async with wire_proxy(shop.url) as proxy:
        proxy.stop = stop
        async with lane(proxy.url) as batcher:
            asked = shop.one(RemoveStock(shop.north, 1, "SALE"))
            answering = asyncio.create_task(batcher.submit(asked, 9))
            await stop.reached.wait()
            proxy.stop = None
            proxy.cut()
            answer = await answering
            assert await batcher.submit(asked) == answer
    assert shop.audit()[shop.north] == Row(STOCK - 1, 2)


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(Stop("COMMIT"), id="before the commit"),
        pytest.param(Stop("COMMIT", answered=True), id="after the commit"),
    ],
)
async def test_a_network_that_swallows_everything_holds_the_lane_for_no_longer_than_its_callers_wait(
    shop: Shop, stop: Stop
) -> None:
    async with wire_proxy(shop.url) as proxy:
        proxy.stop = stop
        async with lane(proxy.url) as batcher:
            asked = shop.one(RemoveStock(shop.north, 1, "SALE"))
            begun = monotonic()
            with pytest.raises(UnavailableError):
                await batcher.submit(asked, 0.5)
            assert monotonic() - begun < 5
            proxy.stop = None
            answer = await batcher.submit(asked, 9)
            assert await batcher.submit(asked, 9) == answer
    assert shop.audit()[shop.north] == Row(STOCK - 1, 2)


async def test_an_exhausted_pool_is_waited_for_within_the_deadline(shop: Shop) -> None:
    async with lane(shop.url, connections=1) as batcher, asyncio.TaskGroup() as jobs:
        async with locked(shop, shop.north):
            job = Scope(levels={shop.north})
            jobs.create_task(batcher.store.transact(job, lambda _: None))
            await waits(shop)
            begun = monotonic()
            with pytest.raises(UnavailableError):
                await batcher.submit(shop.one(RemoveStock(shop.south, 1, "SALE")), 0.5)
            assert monotonic() - begun < 3  # the pool's own bound is five seconds
            patient = asyncio.create_task(batcher.submit(shop.one(RemoveStock(shop.south, 1, "SALE")), 9))
            await asyncio.sleep(0.3)
            assert not patient.done()
        assert isinstance((await patient)[0], bytes)
    assert shop.audit()[shop.south] == Row(STOCK - 1, 2)


def restart(database: RunningStack) -> None:
    """Restart the database in an orderly way."""
    Supervisor(database.home).stop_program("postgres")
    Supervisor(database.home).start_program("postgres")


def crash(database: RunningStack) -> None:
    """End the database as a crash does; the supervisor starts it again."""
    database.kill("postgres")


@pytest.mark.parametrize("happens", [restart, crash])
async def test_a_database_that_restarts_under_load_does_everything_once(
    shop: Shop, happens: Callable[[RunningStack], None]
) -> None:
    over = asyncio.Event()
    sold = 0

    async def till(batcher: Batcher) -> None:
        nonlocal sold
        while not over.is_set():
            asked = shop.one(AddStock(shop.north, 1, "RECEIPT"))
            while True:
                try:
                    (answer,) = await batcher.submit(asked, 4)
                    break
                except UnavailableError:
                    await asyncio.sleep(0.05)
            assert isinstance(answer, bytes)
            sold += 1

    async with lane(shop.url) as batcher, asyncio.TaskGroup() as tills:
        for _ in range(8):
            tills.create_task(till(batcher))
        while sold < 50:  # noqa: ASYNC110 - the tills know nothing of it
            await asyncio.sleep(0.01)
        await asyncio.to_thread(happens, shop.stack)
        await asyncio.to_thread(shop.stack.wait_ready, "postgres")
        during = sold
        while sold < during + 50:  # noqa: ASYNC110 - the tills know nothing of it
            await asyncio.sleep(0.01)
        over.set()
    assert shop.audit()[shop.north] == Row(STOCK + sold, 1 + sold)


async def test_what_came_into_being_in_the_same_transaction_is_found_in_the_next(shop: Shop) -> None:
    bundle = f"{shop.sku}-of-two"
    create = CreateItem(Item(bundle, "Two mugs", kind=BUNDLE, counted=False, components=((shop.sku, 2),)))
    lines = (WantedLine(bundle, shop.north.location_id, 3),)
    reserve = ReserveStock(lines, timedelta(hours=1), Terms(Strategy("SINGLE_LOCATION")))
    async with lane(shop.url) as batcher:
        asked = [shop.one(create), shop.one(reserve), shop.one(RemoveStock(shop.south, 1, "SALE"))]
        # Submitted in one turn of the loop, so that they share a transaction.
        for (answer,) in await asyncio.gather(*(batcher.submit(one, 9) for one in asked)):
            assert isinstance(answer, bytes)
    assert shop.ask(
        "SELECT reserved FROM stock_levels WHERE sku = %(sku)s AND location_id = %(place)s",
        {"place": shop.north.location_id},
    ) == [(6,)]
    ((transactions,),) = shop.ask(
        "SELECT count(DISTINCT transaction_id) FROM requests WHERE request_id = ANY(%(ids)s)",
        {"ids": [one.requests[0].request_id for one in asked]},
    )
    assert transactions == 2
