"""The lane: what is gathered, what is tried again, and what happens to whom when something goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from command_svc.batcher import Batcher, ClosedError, Limits, QueueFullError
from command_svc.domain.batch import Scope, Submission
from command_svc.domain.stock import AddStock
from command_svc.domain.transaction import Transaction
from command_svc.store.errors import ConflictError, RejectedError, StoreError, UnavailableError
from tests.unit.command_svc.making import MUG, submission, transaction

QUICK = Limits(batch=4, queue=8, tries=3, first_backoff=0.001, longest_backoff=0.002)
POISON = 666


class Store:
    """Decides on an empty stock; waits for `gate`, fails as told, refuses a batch with a poisoned command."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: list[StoreError] = []
        self.sizes: list[int] = []

    async def transact(self, scope: Scope, decide: Callable[[Transaction], None]) -> None:
        """Note how many requests came together."""
        self.sizes.append(len(scope.request_ids))
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        working = transaction()
        decide(working)
        if any(entry.delta.on_hand == POISON for entry in working.movements):
            raise RejectedError


def add(quantity: int = 1) -> Submission:
    """Return a submission of one command."""
    return submission(AddStock(MUG, quantity, "RECEIPT"))


async def wait_for(store: Store, transactions: int) -> None:
    """Wait until so many transactions have begun."""
    async with asyncio.timeout(5):
        while len(store.sizes) < transactions:  # noqa: ASYNC110 - the lane knows nothing of tests
            await asyncio.sleep(0)


async def test_a_lone_submission_goes_straight_through() -> None:
    store = Store()
    async with Batcher(store, QUICK) as batcher:
        (answer,) = await batcher.submit(add())
    assert isinstance(answer, bytes)
    assert store.sizes == [1]


async def test_what_waits_goes_together_up_to_the_bound() -> None:
    store = Store()
    store.gate.clear()
    async with Batcher(store, QUICK) as batcher:
        callers = [asyncio.create_task(batcher.submit(add()))]
        await wait_for(store, 1)
        callers += [asyncio.create_task(batcher.submit(add())) for _ in range(6)]
        await asyncio.sleep(0)
        store.gate.set()
        await asyncio.gather(*callers)
    assert store.sizes == [1, 4, 2]


async def test_a_submission_beyond_the_bound_is_a_transaction_of_its_own() -> None:
    store = Store()
    async with Batcher(store, QUICK) as batcher:
        answers = await batcher.submit(submission(*[AddStock(MUG, 1, "RECEIPT")] * 6))
    assert len(answers) == 6
    assert store.sizes == [6]


async def test_a_full_queue_refuses_and_loses_nothing() -> None:
    store = Store()
    store.gate.clear()
    async with Batcher(store, QUICK) as batcher:
        callers = [asyncio.create_task(batcher.submit(add()))]
        await wait_for(store, 1)
        callers += [asyncio.create_task(batcher.submit(add())) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await batcher.submit(add())
        store.gate.set()
        answers = await asyncio.gather(*callers)
    assert len(answers) == 9


async def test_a_caller_that_goes_away_takes_its_waiting_submission_with_it() -> None:
    store = Store()
    store.gate.clear()
    async with Batcher(store, QUICK) as batcher:
        first = asyncio.create_task(batcher.submit(add()))
        await wait_for(store, 1)
        second = asyncio.create_task(batcher.submit(add()))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        store.gate.set()
        await first
        await batcher.submit(add())
    assert store.sizes == [1, 1]


@pytest.mark.parametrize("error", [ConflictError, UnavailableError])
async def test_what_passes_is_tried_again(error: type[StoreError]) -> None:
    store = Store()
    store.failures = [error(), error()]
    async with Batcher(store, QUICK) as batcher:
        assert len(await batcher.submit(add())) == 1
    assert store.sizes == [1, 1, 1]


async def test_what_does_not_pass_is_given_up_and_the_lane_goes_on() -> None:
    store = Store()
    store.failures = [UnavailableError() for _ in range(QUICK.tries)]
    async with Batcher(store, QUICK) as batcher:
        with pytest.raises(UnavailableError):
            await batcher.submit(add())
        assert len(await batcher.submit(add())) == 1


async def test_one_that_the_database_refuses_does_not_fail_its_neighbours() -> None:
    store = Store()
    store.gate.clear()
    async with Batcher(store, QUICK) as batcher:
        callers = [asyncio.create_task(batcher.submit(add()))]
        await wait_for(store, 1)
        callers += [asyncio.create_task(batcher.submit(add(quantity))) for quantity in (1, 2, POISON, 4)]
        await asyncio.sleep(0)
        store.gate.set()
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(outcome, RejectedError) for outcome in outcomes] == [False, False, False, True, False]


async def test_leaving_answers_what_waits_and_takes_nothing_more() -> None:
    store = Store()
    store.gate.clear()
    batcher = Batcher(store, QUICK)
    async with batcher:
        callers = [asyncio.create_task(batcher.submit(add())) for _ in range(3)]
        await wait_for(store, 1)
        store.gate.set()
    assert all(caller.done() for caller in callers)
    with pytest.raises(ClosedError):
        await batcher.submit(add())
