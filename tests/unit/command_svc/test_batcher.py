"""The lane: what shares a transaction, who waits for whom, and who is told what."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from command_svc import batcher as batcher_module
from command_svc.batcher import Batcher, ClosedError, Limits, QueueFullError
from command_svc.domain.refusals import InsufficientStockError
from command_svc.domain.stock import AddStock, RemoveStock
from command_svc.store.errors import RejectedError
from tests.signals import terminations
from tests.unit.command_svc.making import MUG, submission
from tests.unit.command_svc.steered_lane import (
    PATIENCE,
    QUICK,
    Clock,
    SteeredStore,
    accepted,
    add,
    ask,
    busy,
    lane,
)

ADD = AddStock(MUG, 1, "RECEIPT")

# Who is expected is waited for longer than any of these tests takes.
EXPECTING = Limits(gather=2 * PATIENCE, deadline=10 * PATIENCE)


async def test_a_lone_request_goes_straight_through() -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        assert accepted(await batcher.submit(add()))
        assert accepted(await batcher.submit(add()))
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
        waiting = await ask(batcher, *(submission(ADD, ADD) for _ in range(2)), add())
        store.gate.set()
        await asyncio.gather(first, *waiting)
    assert store.sizes == [1, 2, 3]


async def test_an_oversized_submission_is_a_transaction_of_its_own() -> None:
    store = SteeredStore()
    async with lane(store, Limits(batch=3)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, add(), submission(*[ADD] * 10), add())
        store.gate.set()
        await asyncio.gather(first, *waiting)
    assert store.sizes == [1, 1, 10, 1]


async def test_a_full_queue_refuses_the_next_and_loses_nothing() -> None:
    store = SteeredStore()
    async with lane(store, Limits(queue=3)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, add(), submission(ADD, ADD))
        with pytest.raises(QueueFullError):
            await batcher.submit(add())
        store.gate.set()
        await asyncio.gather(first, *waiting)
        assert accepted(await batcher.submit(add()))
    assert store.levels[MUG].on_hand == len(store.ledger) == 5


async def test_a_submission_larger_than_the_queue_is_taken_when_nothing_waits() -> None:
    store = SteeredStore()
    async with lane(store, Limits(queue=3)) as batcher:
        assert accepted(await batcher.submit(submission(*[ADD] * 5)))


async def test_a_caller_that_goes_away_takes_its_waiting_submission_with_it() -> None:
    store = SteeredStore()
    async with lane(store, Limits(queue=2)) as batcher:
        first = await busy(batcher, store)
        gone, stays = await ask(batcher, add(), submission(AddStock(MUG, 10, "RECEIPT")))
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
        (gone,) = await ask(batcher, add())
        gone.cancel()
        store.gate.set()
        await first
        assert accepted(await batcher.submit(add()))
    assert store.levels[MUG].on_hand == 2


async def test_a_caller_that_goes_away_in_its_transaction_does_not_stop_it() -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        first = await busy(batcher, store)
        first.cancel()
        store.gate.set()
        assert accepted(await batcher.submit(add()))
    assert store.levels[MUG].on_hand == 2


async def test_closing_answers_what_waits_then_refuses() -> None:
    store = SteeredStore()
    async with asyncio.timeout(PATIENCE):
        batcher = Batcher(store, QUICK)
        await batcher.__aenter__()
        first = await busy(batcher, store)
        waiting = await ask(batcher, add(), add())
        closing = asyncio.create_task(batcher.__aexit__())
        await asyncio.sleep(0)
        with pytest.raises(ClosedError):
            await batcher.submit(add())
        store.gate.set()
        answers = await asyncio.gather(first, *waiting)
        await closing
        with pytest.raises(ClosedError):
            await batcher.submit(add())
    assert all(map(accepted, answers))
    assert store.levels[MUG].on_hand == 3


async def test_whoever_waits_when_the_lane_breaks_is_told_at_once_and_the_process_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = SteeredStore()

    def breaks(*_: object, **__: object) -> None:
        raise LookupError

    async def ask_meanwhile() -> None:
        async with lane(store, Limits(batch=2, deadline=10 * PATIENCE)) as batcher:
            first = await busy(batcher, store)
            waiting = await ask(batcher, add(), add(), add())
            # A fault of the lane itself, outside of what it answers a batch by.
            monkeypatch.setattr(batcher_module, "_is_of_some", breaks)
            store.failures = [RejectedError(), RejectedError()]
            store.gate.set()
            outcomes = await asyncio.gather(first, *waiting, return_exceptions=True)
            assert [type(one) for one in outcomes] == [RejectedError, *[ClosedError] * 3]
            with pytest.raises(ClosedError):
                await batcher.submit(add())

    with terminations() as terminated:
        with pytest.raises(LookupError):
            await ask_meanwhile()
        await asyncio.wait_for(terminated.wait(), PATIENCE)


async def test_who_asks_again_soon_once_answered_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock.wound(monkeypatch)
    store = SteeredStore()
    async with lane(store, EXPECTING) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, add(), add())
        clock.now += 2 * PATIENCE  # for as long as the transaction lasts, the next one may wait for company
        store.gate.set()
        await first
        await asyncio.sleep(0.01)  # in which a lane that waits for nobody would go on
        await asyncio.gather(batcher.submit(add()), *waiting)
    assert store.sizes == [1, 3]


async def test_who_asks_later_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock.wound(monkeypatch)
    store = SteeredStore()
    async with lane(store, EXPECTING) as batcher:
        store.gate.clear()
        together = await ask(batcher, add(), add(), add())
        await store.entered.wait()
        clock.now += 2 * PATIENCE
        store.gate.set()
        await asyncio.gather(*together)
        clock.now += 2 * PATIENCE
        await batcher.submit(add())
    assert store.sizes == [3, 1]


async def test_nobody_waits_for_long_for_those_who_do_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock.wound(monkeypatch)
    store = SteeredStore()
    async with lane(store, replace(EXPECTING, gather=0.001)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, add(), add())
        clock.now += 2 * PATIENCE
        store.gate.set()
        await asyncio.gather(first, *waiting)
    assert store.sizes == [1, 2]


async def test_a_full_transaction_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock.wound(monkeypatch)
    store = SteeredStore()
    async with lane(store, replace(EXPECTING, batch=2)) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, add(), add())
        clock.now += 2 * PATIENCE
        store.gate.set()
        await asyncio.gather(first, *waiting)
    assert store.sizes == [1, 2]


async def test_a_closing_lane_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock.wound(monkeypatch)
    store = SteeredStore()
    async with lane(store, EXPECTING) as batcher:
        first = await busy(batcher, store)
        waiting = await ask(batcher, add(), add())
        clock.now += 2 * PATIENCE
        closing = asyncio.create_task(batcher.__aexit__())
        await asyncio.sleep(0)
        store.gate.set()
        await asyncio.gather(first, *waiting, closing)
    assert store.sizes == [1, 2]
