"""A worker is killed between every two statements of its transaction, and at every point of the commit.

The worker is a process with a lane, a store and its journal, as the service's workers have them, behind a
proxy that stops at the statement. It is killed with SIGKILL there; a new one is asked the same.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.batch import Command, Submission
from command_svc.domain.orders import PlaceOrder
from command_svc.domain.reservations import ReserveStock
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.domain.transfers import DispatchTransfer, TransferLine
from tests.chaos.wire_proxy import Stop, WireProxy, wire_proxy
from tests.integration.command_svc.conftest import make_shop
from tests.integration.command_svc.lanes import Answer, ask, lane
from tests.integration.command_svc.shop import Shop
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


def single(shop: Shop, command: Command) -> list[Submission]:
    """Ask for one command."""
    return [shop.one(command)]


def reserve(shop: Shop) -> list[Submission]:
    """Reserve units at one place."""
    lines = (WantedLine(shop.sku, shop.north.location_id, 2),)
    return single(shop, ReserveStock(lines, timedelta(hours=1), Terms(Strategy("SINGLE_LOCATION"))))


def order(shop: Shop) -> list[Submission]:
    """Order more than the places have together, so that some of it waits."""
    lines = (WantedLine(shop.sku, shop.north.location_id, 2), WantedLine(shop.sku, None, 3))
    return single(shop, PlaceOrder(lines, Terms(Strategy("PRIORITY"), backorder=True)))


def transfer(shop: Shop) -> list[Submission]:
    """Send units from one place to the other."""
    line = TransferLine(shop.sku, 3)
    return single(
        shop,
        DispatchTransfer(shop.north.location_id, "", shop.south.location_id, (line,)),
    )


def batch(shop: Shop) -> list[Submission]:
    """Ask for several things at once: an atomic call, one whose last command is refused, a single one."""
    return [
        shop.many(RemoveStock(shop.north, 1, "SALE"), MoveStock(shop.north, shop.south, 2, "REBALANCE"), atomic=True),
        shop.many(AddStock(shop.south, 5, "RECEIPT"), RemoveStock(shop.north, 10 * STOCK, "SALE")),
        shop.one(RemoveStock(shop.south, 1, "SALE")),
    ]
