"""A worker is killed between every two statements of its transaction, and at every point of the commit.

The worker is a process with a lane, a store and its journal, as the service's workers have them, behind a
proxy that stops at the statement. It is killed with SIGKILL there; a new one is asked the same.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from multiprocessing.connection import Connection

import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.batch import Submission
from command_svc.domain.orders import PlaceOrder
from command_svc.domain.reservations import ReserveStock
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.domain.transfers import DispatchedLine, DispatchTransfer
from tests.chaos.wire_proxy import Stop, WireProxy, wire_proxy
from tests.integration.command_svc.lanes import ask, lane
from tests.integration.command_svc.shop import Shop, open_shop
from tests.stack_fixture import RunningStack, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(180)]

PATIENCE = 20.0
STOCK = 10_000
# Forks in milliseconds what takes a second to import.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


@pytest.fixture(scope="module")
def database() -> Iterator[RunningStack]:
    """Give a database alone: nobody else's statements are counted."""
    with running_stack("statements", only=("postgres", "database")) as running:
        yield running


def _work(url: str, submissions: Sequence[Submission], answers: Connection) -> None:
    """Be a worker: carry out what is asked, twice, and tell both answers."""

    async def run() -> None:
        async with lane(url) as batcher:
            for _ in range(2):
                answers.send(await ask(batcher, submissions))

    asyncio.run(run())


@asynccontextmanager
async def worker(url: str, asked: Sequence[Submission]) -> AsyncIterator[Connection]:
    """Run a worker; kill it at the end of the block, wherever it is."""
    answers, told = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_work, args=(url, asked, told), daemon=True)
    process.start()
    told.close()
    try:
        yield answers
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
        answers.close()


def reserve(shop: Shop) -> list[Submission]:
    """Ask for units at both places."""
    lines = tuple(WantedLine(shop.sku, key.location_id, 2) for key in (shop.north, shop.south))
    return [shop.one(ReserveStock(lines, timedelta(hours=1), Terms(Strategy("SINGLE_LOCATION"))))]


def order(shop: Shop) -> list[Submission]:
    """Order more than there is at one of the places, so that the rest waits."""
    lines = (WantedLine(shop.sku, shop.north.location_id, 2), WantedLine(shop.sku, shop.south.location_id, 3))
    return [shop.one(PlaceOrder(lines, Terms(Strategy("SINGLE_LOCATION"), backorder=True)))]


def transfer(shop: Shop) -> list[Submission]:
    """Send units from one place to the other."""
    lines = (DispatchedLine(shop.sku, 3),)
    return [shop.one(DispatchTransfer(shop.north.location_id, "", shop.south.location_id, lines))]


def batch(shop: Shop) -> list[Submission]:
    """Ask for several things at once: an atomic call, one whose last command is refused, a single one."""
    sale, move = RemoveStock(shop.north, 1, "SALE"), MoveStock(shop.north, shop.south, 2, "REBALANCE")
    return [
        shop.many(sale, move, atomic=True),
        shop.many(AddStock(shop.south, 5, "RECEIPT"), RemoveStock(shop.north, 10 * STOCK, "SALE")),
        shop.one(RemoveStock(shop.south, 1, "SALE")),
    ]


Plan = Callable[[Shop], list[Submission]]


@pytest.mark.parametrize(
    ("plan", "entries"),
    [
        pytest.param(reserve, 2, id="reserve"),
        pytest.param(order, 2, id="order"),
        pytest.param(transfer, 2, id="transfer"),
        pytest.param(batch, 5, id="batch"),
    ],
)
async def test_what_a_killed_worker_was_asked_is_done_exactly_once(
    database: RunningStack, plan: Plan, entries: int
) -> None:
    shop = await open_shop(database)
    await shop.carry_out(
        AddStock(shop.north, STOCK, "RECEIPT"),
        SetStockPolicy(shop.south, backorder_limit=STOCK)
        if plan is order
        else AddStock(shop.south, STOCK, "RECEIPT"),
    )
    async with wire_proxy(shop.url) as proxy:
        for _ in range(2):  # once more, for the first may be the first of its levels
            await repeated(shop, proxy, plan(shop), entries)
        *_, last = (some for some in proxy.statements if "COMMIT" in some)
        statements = last[: last.index("COMMIT") + 1]
        assert statements[0] == "BEGIN"
        assert "INSERT INTO journal" in statements[-2]
        for number in range(1, len(statements) + 1):
            asked = plan(shop)
            await killed(proxy, asked, Stop(number))
            assert records(shop, asked) == {}
            await repeated(shop, proxy, asked, entries)

        asked = plan(shop)
        await killed(proxy, asked, Stop(len(statements), answered=True))
        committed = records(shop, asked)
        assert committed
        await repeated(shop, proxy, asked, entries)
        assert records(shop, asked) == committed

        # Nobody knows, not even the database, whether this one is committed.
        asked = plan(shop)
        await killed(proxy, asked, Stop(len(statements), answered=True, awaited=False))
        await repeated(shop, proxy, asked, entries)
    shop.audit()


async def killed(proxy: WireProxy, asked: Sequence[Submission], stop: Stop) -> None:
    """Let a worker come as far as `stop`, and kill it there."""
    proxy.stop = stop
    async with worker(proxy.url, asked) as answers, asyncio.timeout(PATIENCE):
        await stop.reached.wait()
        assert not answers.poll()
    proxy.cut()
    proxy.stop = None


async def repeated(shop: Shop, proxy: WireProxy, asked: Sequence[Submission], entries: int) -> None:
    """Let a worker do all that is asked, and ask again: it is done once, and the answers are the same."""
    async with worker(proxy.url, asked) as answers:
        first, again = [await asyncio.to_thread(answers.recv) for _ in range(2)]
    assert first == again
    told = {
        request.request_id: answer
        for submission, some in zip(asked, first, strict=True)
        for request, answer in zip(submission.requests, some, strict=True)
    }
    assert {answer for answer in told.values() if isinstance(answer, str)} <= {"INSUFFICIENT_STOCK"}
    accepted = {request_id: answer for request_id, answer in told.items() if isinstance(answer, bytes)}
    assert records(shop, asked) == accepted
    ((written, changes, journal),) = shop.ask(
        "SELECT (SELECT count(*) FROM stock_movements WHERE request_id = ANY(%(ids)s)),"
        " count(DISTINCT transaction_id),"
        " (SELECT count(*) FROM journal WHERE id IN"
        "  (SELECT transaction_id FROM requests WHERE request_id = ANY(%(ids)s)))"
        " FROM requests WHERE request_id = ANY(%(ids)s)",
        {"ids": list(told)},
    )
    assert (written, changes, journal) == (entries, 1, 1)


def records(shop: Shop, asked: Sequence[Submission]) -> dict[str, bytes]:
    """Return the answers on record, by request id."""
    ids = [request.request_id for submission in asked for request in submission.requests]
    return dict(
        shop.ask("SELECT request_id, response FROM requests WHERE request_id = ANY(%(ids)s)", {"ids": ids})
    )
