"""What a transaction locks, in which order, and what it reads only after that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.batch import Submission, Verdict, decide
from command_svc.domain.catalog import CreateItem, CreateLocation, UpdateItem, UpdateLocation
from command_svc.domain.item import Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.location import Location
from command_svc.domain.orders import PlaceOrder
from command_svc.domain.refusals import InsufficientStockError
from command_svc.domain.reservations import ReserveStock
from command_svc.domain.scope import Scope
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, RemoveStock
from command_svc.domain.transaction import Transaction
from command_svc.domain.transfers import DispatchedLine, DispatchTransfer
from command_svc.store import statements
from tests.integration.command_svc.lanes import ask, lane, store
from tests.integration.command_svc.shop import Row, Shop
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

PATIENCE = 10.0
# Not the order of a dictionary, which would have lower case first and pass over stops and dashes.
PLACES = ["B", "a", "a-b", "a.b", "aB", "b", "ba", "b.a"]
LOCK = "SELECT FROM stock_levels WHERE sku = %s AND location_id = %s FOR UPDATE"

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@pytest.fixture
async def keys(shop: Shop) -> list[LevelKey]:
    """Give stocked levels in the order in which they are to be locked."""
    keys = sorted(LevelKey(shop.sku, f"{place}-{shop.sku}") for place in PLACES)
    # On disk they lie the other way round.
    for key in reversed(keys):
        await shop.carry_out(
            CreateLocation(Location(key.location_id, "Place", "STORE")), AddStock(key, 10, "RECEIPT")
        )
    return keys


class Neighbour:
    """Another user of the database, with a transaction of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lock(self, key: LevelKey) -> None:
        """Lock a level."""
        await self._connection.execute(LOCK, key)

    async def run(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        return await (await self._connection.execute(statement, parameters)).fetchall()

    async def free(self, keys: Iterable[LevelKey]) -> set[LevelKey]:
        """Return which of the levels nobody else has locked."""
        free = set()
        for key in keys:
            cursor = await self._connection.execute(f"{LOCK} SKIP LOCKED", key)
            if await cursor.fetchone() is not None:
                free.add(key)
        await self._connection.rollback()
        return free

    async def blocks(self, number: int) -> None:
        """Wait until so many others wait for this one, directly or behind each other."""
        async with asyncio.timeout(PATIENCE):
            async with await psycopg.AsyncConnection.connect(
                self._connection.info.dsn, autocommit=True, password=self._connection.info.password
            ) as watcher:
                while True:
                    cursor = await watcher.execute(
                        "WITH RECURSIVE waiting (pid) AS ("
                        " SELECT %s::int UNION SELECT a.pid FROM pg_stat_activity AS a, waiting AS w"
                        " WHERE w.pid = ANY(pg_blocking_pids(a.pid))"
                        ") SELECT count(*) - 1 FROM waiting",
                        (self._connection.info.backend_pid,),
                    )
                    if await cursor.fetchone() == (number,):
                        return
                    await asyncio.sleep(0.005)

    async def let_go(self) -> None:
        """Commit."""
        await self._connection.commit()


@pytest.fixture
async def neighbour(shop: Shop) -> AsyncIterator[Neighbour]:
    """Give a neighbour; what it has not committed is undone."""
    async with await psycopg.AsyncConnection.connect(shop.stack.postgres_url("owner")) as connection:
        yield Neighbour(connection)
        await connection.rollback()


@asynccontextmanager
async def transacting(
    shop: Shop, *plans: tuple[Scope, Callable[[Transaction], object]]
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Carry out transactions, each in a store of its own; they end before the block does."""
    stores = [store(shop.url) for _ in plans]
    tasks = []
    try:
        for one, (scope, decide_on) in zip(stores, plans, strict=True):
            await one.__aenter__()
            await one.ping()

            def call(transaction: Transaction, do: Callable[[Transaction], object] = decide_on) -> None:
                do(transaction)

            tasks.append(asyncio.create_task(one.transact(scope, call)))
        yield tasks
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in stores:
            await one.__aexit__()


def nothing(_: Transaction) -> None:
    """Decide nothing, so that nothing is committed."""


async def check_order(
    shop: Shop, keys: list[LevelKey], scope: Scope, neighbour: Neighbour, other: Neighbour
) -> None:
    """Check that a transaction over all levels waits for each having locked those before it alone."""
    for place, key in enumerate(keys):
        await neighbour.lock(key)
        async with transacting(shop, (scope, nothing)):
            await neighbour.blocks(1)
            assert await other.free(keys) == set(keys[place + 1 :])
            await neighbour.let_go()


async def all_of(  # noqa: PLR0911 - the table of the ways
    shop: Shop, keys: list[LevelKey], how: str
) -> Scope:
    """Return a scope that leads to all the levels: named, or known by the database alone."""
    lines = tuple(WantedLine(*key, 1) for key in keys)
    terms = Terms(Strategy("PRIORITY"))
    match how:
        case "named":
            return Scope(levels=set(keys))
        case "anywhere":
            return Scope(everywhere={shop.sku})
        case "components of a bundle anywhere":
            gift = Item(f"{shop.sku}-gift", "Gift", kind="BUNDLE", counted=False, components=((shop.sku, 1),))
            await shop.carry_out(CreateItem(gift))
            return Scope(everywhere={gift.sku}, taken={gift.sku})
        case "a reservation":
            await shop.carry_out(ReserveStock(lines, timedelta(hours=1), terms))
            return Scope(reservations=shop.ids("reservations"))
        case "an expired reservation in the way":
            await shop.carry_out(ReserveStock(lines, timedelta(microseconds=1), terms))
            return Scope(levels={keys[-1]}, taken={shop.sku})
        case "an order":
            await shop.carry_out(PlaceOrder(lines, terms))
            return Scope(orders=shop.ids("orders"))
        case _:
            ends = [key.location_id for key in keys]
            for source, destination in pairwise(ends):
                line = (DispatchedLine(shop.sku, 1),)
                await shop.carry_out(DispatchTransfer(source, "", destination, line))
            return Scope(transfers=shop.ids("transfers"))


@pytest.fixture
async def other(shop: Shop) -> AsyncIterator[Neighbour]:
    """Give a second neighbour."""
    async with await psycopg.AsyncConnection.connect(shop.stack.postgres_url("owner")) as connection:
        yield Neighbour(connection)


@pytest.fixture
def _unsorted(database: RunningStack) -> Iterator[None]:
    """Have the planner sort where it is told to, and not because it is a way to something else."""
    with psycopg.connect(database.postgres_url("owner"), autocommit=True) as owner:
        owner.execute("ALTER DATABASE inventory SET enable_sort = off")
        yield
        owner.execute("ALTER DATABASE inventory RESET enable_sort")


WAYS = [
    "named",
    "anywhere",
    "components of a bundle anywhere",
    "a reservation",
    "an expired reservation in the way",
    "an order",
    "transfers",
]


@pytest.mark.usefixtures("_unsorted")
@pytest.mark.parametrize("how", WAYS)
async def test_levels_are_locked_one_after_the_other_in_the_order_of_their_keys(
    shop: Shop, keys: list[LevelKey], neighbour: Neighbour, other: Neighbour, how: str
) -> None:
    await check_order(shop, keys, await all_of(shop, keys, how), neighbour, other)


@pytest.mark.usefixtures("_unsorted")
@pytest.mark.parametrize(("name", "how"), [("LOCK_LEVELS", "named"), ("LOCK_SCOPE", "an order")])
async def test_the_check_of_the_order_notices_when_there_is_none(  # noqa: PLR0913, PLR0917 - fixtures
    shop: Shop,
    keys: list[LevelKey],
    neighbour: Neighbour,
    other: Neighbour,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    how: str,
) -> None:
    scope = await all_of(shop, keys, how)
    order = r'ORDER BY \S+ COLLATE "C", \S+ COLLATE "C"'
    statement, times = re.subn(order, "", getattr(statements, name))
    assert times == 1
    monkeypatch.setattr(statements, name, statement)
    with pytest.raises(AssertionError):
        await check_order(shop, keys, scope, neighbour, other)


async def check_waits(shop: Shop, neighbour: Neighbour) -> None:
    """Check that nothing is decided on a level that somebody else has locked."""
    decided: list[Transaction] = []
    await neighbour.lock(shop.north)
    async with transacting(shop, (Scope(levels={shop.north}), decided.append)) as (task,):
        blocked = asyncio.create_task(neighbour.blocks(1))
        await asyncio.wait([blocked, task], return_when=asyncio.FIRST_COMPLETED)
        blocked.cancel()
        assert not decided
        await neighbour.let_go()
    assert decided


async def test_nothing_is_decided_on_a_level_before_it_is_locked(shop: Shop, neighbour: Neighbour) -> None:
    await shop.carry_out(AddStock(shop.north, 1, "RECEIPT"))
    await check_waits(shop, neighbour)


async def test_the_check_of_the_lock_notices_when_there_is_none(
    shop: Shop, neighbour: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.carry_out(AddStock(shop.north, 1, "RECEIPT"))
    lock = "FOR UPDATE OF l\n"
    assert lock in statements.LOCK_LEVELS
    monkeypatch.setattr(statements, "LOCK_LEVELS", statements.LOCK_LEVELS.replace(lock, ""))
    with pytest.raises(AssertionError):
        await check_waits(shop, neighbour)


async def test_of_two_who_would_sell_the_last_unit_one_waits_and_is_refused(
    shop: Shop, neighbour: Neighbour
) -> None:
    await shop.carry_out(AddStock(shop.north, 1, "RECEIPT"))
    verdicts: list[Verdict] = []

    def sell(submission: Submission) -> tuple[Scope, Callable[[Transaction], object]]:
        return Scope.of([submission]), lambda transaction: verdicts.extend(decide(transaction, submission))

    await neighbour.lock(shop.north)
    asked = [shop.one(RemoveStock(shop.north, 1, "SALE")) for _ in range(2)]
    async with transacting(shop, *map(sell, asked)):
        await neighbour.blocks(2)
        await neighbour.let_go()
    assert isinstance(verdicts[0], bytes)
    assert isinstance(verdicts[1], InsufficientStockError)
    assert shop.audit() == {shop.north: Row(0, 2)}


async def test_a_hold_that_was_made_and_expired_during_the_wait_is_in_nobodys_way(
    shop: Shop, neighbour: Neighbour
) -> None:
    """It keeps more than was locked, as nobody knew of it then: the command is decided again."""
    levels = shop.south, shop.north
    await shop.carry_out(*(AddStock(level, 1, "RECEIPT") for level in levels))
    lines = tuple(WantedLine(*level, 1) for level in levels)
    hold = ReserveStock(lines, timedelta(microseconds=1), Terms(Strategy("PRIORITY")))
    sale = RemoveStock(shop.south, 1, "SALE")
    async with lane(shop.url) as first, lane(shop.url) as second:
        await neighbour.lock(shop.south)
        asked = [asyncio.create_task(ask(first, [shop.one(hold)]))]
        await neighbour.blocks(1)
        asked.append(asyncio.create_task(ask(second, [shop.one(sale)])))
        await neighbour.blocks(2)
        await neighbour.let_go()
        answers = await asyncio.gather(*asked)
    assert all(isinstance(answer, bytes) for ((answer,),) in answers), answers
    assert shop.ask("SELECT state FROM reservations WHERE skus[1] = %(sku)s") == [("EXPIRED",)]


async def test_of_too_many_expired_holds_those_beyond_the_locks_are_left_to_the_next(shop: Shop) -> None:
    most = statements.MOST_OVERDUE
    await shop.carry_out(AddStock(shop.south, most + 1, "RECEIPT"), AddStock(shop.north, 1, "RECEIPT"))
    terms, instant = Terms(Strategy("PRIORITY")), timedelta(microseconds=1)
    south, north = (WantedLine(*level, 1) for level in (shop.south, shop.north))
    await shop.carry_out(*[ReserveStock((south,), instant, terms)] * most)
    await shop.carry_out(ReserveStock((south, north), instant, terms))
    await shop.carry_out(RemoveStock(shop.south, 1, "SALE"))
    states = shop.ask("SELECT state, count(*) FROM reservations WHERE skus[1] = %(sku)s GROUP BY state")
    assert dict(states) == {"EXPIRED": most, "PENDING": 1}


async def test_requests_and_clock_are_read_after_the_locks(shop: Shop, neighbour: Neighbour) -> None:
    """A record or a time from before the wait would sell twice, or let time run backwards."""
    await shop.carry_out(AddStock(shop.north, 10, "RECEIPT"))
    asked = shop.one(RemoveStock(shop.north, 1, "SALE"), "once", b"body")
    verdicts: list[object] = []
    seen: list[Transaction] = []

    def sell(transaction: Transaction) -> None:
        seen.append(transaction)
        verdicts.extend(decide(transaction, asked))

    await neighbour.lock(shop.north)
    async with transacting(shop, (Scope.of([asked]), sell)):
        await neighbour.blocks(1)
        ((committed_at,),) = await neighbour.run(
            "INSERT INTO requests VALUES (%s, %s, %s, uuidv7(), now(), CURRENT_DATE)"
            " RETURNING clock_timestamp()",
            asked.requests[0].request_id,
            b"body",
            b"the first answer",
        )
        await neighbour.let_go()
    assert verdicts == [b"the first answer"]
    assert seen[0].now > committed_at
    assert shop.audit() == {shop.north: Row(10, 1)}


async def test_items_are_locked_in_the_order_of_their_keys_for_whatever_reason(
    shop: Shop, neighbour: Neighbour
) -> None:
    """Two transactions, each of which changes the item that the other brings to a new place."""
    other = f"{shop.sku}-z"
    await shop.carry_out(CreateItem(Item(other, "Cup")))

    def plan(changed: str, brought: str) -> tuple[Scope, Callable[[Transaction], object]]:
        submission = shop.many(
            UpdateItem(changed, {"name": "New"}),
            AddStock(LevelKey(brought, shop.south.location_id), 1, "RECEIPT"),
        )
        return Scope.of([submission]), lambda transaction: decide(transaction, submission)

    await neighbour.run("SELECT sku FROM items WHERE sku = %s FOR UPDATE", other)
    async with transacting(shop, plan(other, shop.sku)):
        await neighbour.blocks(1)
        async with transacting(shop, plan(shop.sku, other)):
            await neighbour.blocks(2)
            await neighbour.let_go()
    rows = shop.ask("SELECT sku, version FROM items WHERE sku LIKE %(sku)s || '%%'")
    assert dict(rows) == {shop.sku: 2, other: 2}


async def test_a_location_that_is_being_changed_holds_up_no_stock(shop: Shop, neighbour: Neighbour) -> None:
    place = shop.south.location_id
    await neighbour.run(statements.READ_LOCATIONS, [place])
    async with asyncio.timeout(PATIENCE / 2):
        await shop.carry_out(AddStock(shop.south, 1, "RECEIPT"))
    await neighbour.let_go()
    await shop.carry_out(UpdateLocation(place, {"name": "New"}))
