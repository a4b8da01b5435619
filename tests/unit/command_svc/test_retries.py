"""The lane when a transaction fails: what is tried again, what is given up, and who is told."""

from __future__ import annotations

import asyncio

import pytest

from command_svc.batcher import Limits
from command_svc.domain.batch import AtomicRefusalError
from command_svc.domain.refusals import InsufficientStockError
from command_svc.domain.stock import AddStock, RemoveStock
from command_svc.store.errors import ConflictError, RejectedError, UnavailableError
from tests.unit.command_svc.making import MUG, MUG_AT_STORE, submission
from tests.unit.command_svc.steered_lane import (
    PEN,
    QUICK,
    SteeredStore,
    accepted,
    add,
    ask,
    busy,
    lane,
)

ADD = AddStock(MUG, 1, "RECEIPT")


@pytest.mark.parametrize("failure", [ConflictError, UnavailableError])
async def test_what_may_pass_is_tried_again_with_the_same_submissions(failure: type[Exception]) -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, add(), submission(ADD, atomic=True))
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
            await batcher.submit(add())
        assert len(store.scopes) == QUICK.tries
        assert store.is_untouched
        assert accepted(await batcher.submit(add()))


async def test_patience_ends_the_tries_before_their_number_does() -> None:
    store = SteeredStore()
    limits = Limits(tries=1000, first_backoff=0.01, longest_backoff=0.01, patience=0.1)
    async with lane(store, limits) as batcher:
        store.failures = [UnavailableError() for _ in range(1000)]
        with pytest.raises(UnavailableError):
            await batcher.submit(add())
        assert 2 <= len(store.scopes) <= 30
        store.failures.clear()
        assert accepted(await batcher.submit(add()))


async def test_whoever_waits_behind_a_database_that_stays_away_is_told_with_the_first() -> None:
    store = SteeredStore()
    async with lane(store, Limits(batch=1, tries=2, first_backoff=0.0001)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, *[add()] * 3)
        store.failures = [UnavailableError() for _ in range(2)]
        store.gate.set()
        outcomes = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 4
        assert store.sizes == [1, 1]
        assert accepted(await batcher.submit(add()))
    assert store.levels[MUG].on_hand == 1


async def test_a_rejected_submission_is_found_by_halves_and_its_neighbours_succeed() -> None:
    store = SteeredStore()
    store.unwritable = {PEN}
    async with lane(store) as batcher:
        first = await busy(batcher, store)
        asked = [add() for _ in range(7)]
        asked[4] = submission(ADD, AddStock(PEN, 1, "RECEIPT"))
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
