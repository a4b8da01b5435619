"""The lane: what shares a transaction, what is tried again, who is told what."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from command_svc.batcher import Batcher, ClosedError, Limits, QueueFullError
from command_svc.domain.batch import AtomicRefusalError, Submission, Verdict
from command_svc.domain.levels import LevelKey
from command_svc.domain.refusals import InsufficientStockError
from command_svc.domain.scope import Scope
from command_svc.domain.stock import AddStock, RemoveStock
from command_svc.domain.transaction import Transaction
from command_svc.store.errors import ConflictError, RejectedError, UnavailableError
from tests.unit.command_svc.making import MUG, MUG_AT_STORE, submission, transaction
from tests.unit.command_svc.memory_store import MemoryStore

PATIENCE = 5.0
QUICK = Limits(tries=4, first_backoff=0.0001, longest_backoff=0.001)
ADD = AddStock(MUG, 1, "RECEIPT")
POISON = LevelKey("PEN", "WH")


class SteeredStore(MemoryStore):
    """A store whose transactions wait at a gate and fail as told.

    One of `failures` is raised for each transaction, and nothing of it is kept. A transaction that touches
    the level POISON is rejected while `poisoned`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.failures: list[Exception] = []
        self.poisoned = False
        self.scopes: list[Scope] = []

    async def transact(
        self, scope: Scope, decide: Callable[[Transaction], None], *, within: float = math.inf
    ) -> None:
        """Do as told, else as any store."""
        self.scopes.append(scope)
        self.entered.set()
        await self.gate.wait()
        if self.failures:
            decide(transaction())  # what was decided before the failure must not count
            raise self.failures.pop(0)
        if self.poisoned and POISON in scope.levels:
            raise RejectedError
        await super().transact(scope, decide, within=within)

    @property
    def sizes(self) -> list[int]:
        """How many requests each transaction held."""
        return [len(scope.requests) for scope in self.scopes]


@asynccontextmanager
async def lane(store: SteeredStore, limits: Limits = QUICK) -> AsyncIterator[Batcher]:
    """Run a lane, and end the test rather than wait for ever."""
    async with asyncio.timeout(PATIENCE), Batcher(store, limits) as batcher:
        yield batcher


async def ask(batcher: Batcher, *asked: Submission) -> list[asyncio.Task[list[Verdict]]]:
    """Submit, in this order, without waiting for the answers."""
    tasks = [asyncio.create_task(batcher.submit(one)) for one in asked]
    await asyncio.sleep(0)  # every task has run up to its wait for the answer
    return tasks


async def busy(batcher: Batcher, store: SteeredStore) -> asyncio.Task[list[Verdict]]:
    """Close the gate behind a first transaction, so that what is submitted next waits."""
    store.gate.clear()
    (first,) = await ask(batcher, submission(ADD))
    await store.entered.wait()
    return first


def accepted(verdicts: list[Verdict]) -> bool:
    """Tell whether every verdict is an answer."""
    return all(isinstance(verdict, bytes) for verdict in verdicts)


async def test_a_lone_request_goes_straight_through() -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        assert accepted(await batcher.submit(submission(ADD)))
        assert accepted(await batcher.submit(submission(ADD)))
    assert store.sizes == [1, 1]
    assert store.levels[MUG].on_hand == 2


async def test_what_waits_is_gathered_into_the_next_transaction_in_its_order() -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(
            batcher,
            submission(RemoveStock(MUG, 3, "SALE")),
            submission(AddStock(MUG, 2, "RECEIPT")),
            submission(RemoveStock(MUG, 3, "SALE")),
        )
        store.gate.set()
        await first
        (early,), (_,), (late,) = await asyncio.gather(*waiting)
    assert store.sizes == [1, 3]
    assert isinstance(early, InsufficientStockError)
    assert isinstance(late, bytes)
    assert store.levels[MUG].on_hand == 0


async def test_a_transaction_takes_no_more_than_its_bound() -> None:
    store = SteeredStore()
    async with lane(store, Limits(batch=3)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, *(submission(ADD, ADD) for _ in range(2)), submission(ADD))
        store.gate.set()
        await asyncio.gather(first, *waiting)
    assert store.sizes == [1, 2, 3]


async def test_an_oversized_submission_is_a_transaction_of_its_own() -> None:
    store = SteeredStore()
    async with lane(store, Limits(batch=3)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, submission(ADD), submission(*[ADD] * 10), submission(ADD))
        store.gate.set()
        await asyncio.gather(first, *waiting)
    assert store.sizes == [1, 1, 10, 1]


async def test_a_full_queue_refuses_the_next_and_loses_nothing() -> None:
    store = SteeredStore()
    async with lane(store, Limits(queue=3)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, submission(ADD), submission(ADD, ADD))
        with pytest.raises(QueueFullError):
            await batcher.submit(submission(ADD))
        store.gate.set()
        await asyncio.gather(first, *waiting)
        assert accepted(await batcher.submit(submission(ADD)))
    assert store.levels[MUG].on_hand == len(store.ledger) == 5


async def test_a_submission_larger_than_the_queue_is_taken_when_nothing_waits() -> None:
    store = SteeredStore()
    async with lane(store, Limits(queue=3)) as batcher:
        assert accepted(await batcher.submit(submission(*[ADD] * 5)))


async def test_a_caller_that_goes_away_takes_its_waiting_submission_with_it() -> None:
    store = SteeredStore()
    async with lane(store, Limits(queue=2)) as batcher:
        first = await busy(batcher, store)
        gone, stays = await ask(batcher, submission(ADD), submission(AddStock(MUG, 10, "RECEIPT")))
        gone.cancel()
        store.gate.set()
        await asyncio.gather(first, stays)
        assert gone.cancelled()
    assert store.sizes == [1, 1]
    assert store.levels[MUG].on_hand == 11


async def test_a_lane_whose_waiting_callers_have_all_gone_takes_the_next() -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        first = await busy(batcher, store)
        (gone,) = await ask(batcher, submission(ADD))
        gone.cancel()
        store.gate.set()
        await first
        assert accepted(await batcher.submit(submission(ADD)))
    assert store.levels[MUG].on_hand == 2


async def test_a_caller_that_goes_away_in_its_transaction_does_not_stop_it() -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        first = await busy(batcher, store)
        first.cancel()
        store.gate.set()
        assert accepted(await batcher.submit(submission(ADD)))
    assert store.levels[MUG].on_hand == 2


@pytest.mark.parametrize("failure", [ConflictError, UnavailableError])
async def test_what_may_pass_is_tried_again_with_the_same_submissions(failure: type[Exception]) -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, submission(ADD), submission(ADD, atomic=True))
        store.failures = [failure(), failure(), failure()]
        store.gate.set()
        answers = await asyncio.gather(first, *waiting)
    assert all(map(accepted, answers))
    assert [scope.requests for scope in store.scopes[:4]] == [store.scopes[0].requests] * 4
    assert store.sizes == [1, 1, 1, 1, 2]
    assert store.levels[MUG].on_hand == 3


@pytest.mark.parametrize("failure", [ConflictError, UnavailableError])
async def test_what_does_not_pass_is_given_up_after_the_last_try(failure: type[Exception]) -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        store.failures = [failure() for _ in range(QUICK.tries)]
        with pytest.raises(failure):
            await batcher.submit(submission(ADD))
        assert len(store.scopes) == QUICK.tries
        assert store.is_untouched
        assert accepted(await batcher.submit(submission(ADD)))


async def test_patience_ends_the_tries_before_their_number_does() -> None:
    store = SteeredStore()
    limits = Limits(tries=1000, first_backoff=0.01, longest_backoff=0.01, patience=0.1)
    async with lane(store, limits) as batcher:
        store.failures = [UnavailableError() for _ in range(1000)]
        with pytest.raises(UnavailableError):
            await batcher.submit(submission(ADD))
        assert 2 <= len(store.scopes) <= 30
        store.failures.clear()
        assert accepted(await batcher.submit(submission(ADD)))


async def test_whoever_waits_behind_a_database_that_stays_away_is_told_with_the_first() -> None:
    store = SteeredStore()
    async with lane(store, Limits(batch=1, tries=2, first_backoff=0.0001)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, *[submission(ADD)] * 3)
        store.failures = [UnavailableError() for _ in range(2)]
        store.gate.set()
        outcomes = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 4
        assert store.sizes == [1, 1]
        assert accepted(await batcher.submit(submission(ADD)))
    assert store.levels[MUG].on_hand == 1


async def test_a_rejected_submission_is_found_by_halves_and_its_neighbours_succeed() -> None:
    store = SteeredStore()
    store.poisoned = True
    async with lane(store) as batcher:
        first = await busy(batcher, store)
        asked = [submission(ADD) for _ in range(7)]
        asked[4] = submission(ADD, AddStock(POISON, 1, "RECEIPT"))
        waiting = await ask(batcher, *asked)
        store.gate.set()
        await first
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers.pop(4), RejectedError)
    assert all(isinstance(answer, list) and accepted(answer) for answer in answers)
    assert store.levels[MUG].on_hand == 7
    assert store.sizes == [1, 8, 3, 5, 3, 1, 2, 2]


async def test_an_atomic_refusal_is_its_callers_alone() -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(
            batcher,
            submission(ADD, RemoveStock(MUG, 50, "SALE"), atomic=True),
            submission(AddStock(MUG_AT_STORE, 4, "RECEIPT")),
            submission(RemoveStock(MUG, 50, "SALE"), ADD),
        )
        store.gate.set()
        await first
        atomic, neighbour, by_itself = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(atomic, AtomicRefusalError)
    assert atomic.index == 1
    assert isinstance(neighbour, list)
    assert accepted(neighbour)
    assert isinstance(by_itself, list)
    assert isinstance(by_itself[0], InsufficientStockError)
    assert isinstance(by_itself[1], bytes)
    assert store.levels[MUG].on_hand == 2


async def test_closing_answers_what_waits_then_refuses() -> None:
    store = SteeredStore()
    async with asyncio.timeout(PATIENCE):
        batcher = Batcher(store, QUICK)
        await batcher.__aenter__()
        first = await busy(batcher, store)
        waiting = await ask(batcher, submission(ADD), submission(ADD))
        closing = asyncio.create_task(batcher.__aexit__())
        await asyncio.sleep(0)
        with pytest.raises(ClosedError):
            await batcher.submit(submission(ADD))
        store.gate.set()
        answers = await asyncio.gather(first, *waiting)
        await closing
        with pytest.raises(ClosedError):
            await batcher.submit(submission(ADD))
    assert all(map(accepted, answers))
    assert store.levels[MUG].on_hand == 3


async def test_who_asks_again_soon_once_answered_is_waited_for() -> None:
    store = SteeredStore()
    async with lane(store, Limits(gather=PATIENCE)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, submission(ADD), submission(ADD))
        # For as long as the transaction lasts, the next one may wait for company.
        await asyncio.sleep(0.5)
        store.gate.set()
        await first
        await asyncio.sleep(0.01)
        await asyncio.gather(batcher.submit(submission(ADD)), *waiting)
    assert store.sizes == [1, 3]


async def test_nobody_waits_for_long_for_those_who_do_not_come_back() -> None:
    store = SteeredStore()
    async with lane(store, Limits(gather=0.001)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, submission(ADD), submission(ADD))
        store.gate.set()
        await asyncio.gather(first, *waiting)
    assert store.sizes == [1, 2]


async def test_a_full_transaction_waits_for_nobody() -> None:
    store = SteeredStore()
    async with lane(store, Limits(batch=2, gather=PATIENCE)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, submission(ADD), submission(ADD))
        await asyncio.sleep(0.5)
        store.entered.clear()
        store.gate.set()
        await first
        await asyncio.wait_for(store.entered.wait(), 0.4)
        await asyncio.gather(*waiting)
    assert store.sizes == [1, 2]
