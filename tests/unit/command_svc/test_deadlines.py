"""The lane under time and faults: who is too late, who is alone at fault, and what the neighbours get."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from command_svc.batcher import Batcher, Limits, QueueFullError
from command_svc.domain.batch import Submission, Verdict
from command_svc.store.errors import ConflictError, RejectedError, UnavailableError
from command_svc.waiting import ExpiredError
from tests.unit.command_svc.making import MUG
from tests.unit.command_svc.steered_lane import PEN, QUICK, Clock, SteeredStore, accepted, add, lane


def faulty(error: Exception) -> Submission:
    """Return a submission that adds a unit, and in which something of ours goes wrong afterwards."""

    def fail(*_: object) -> bytes:
        raise error

    (request,) = add().requests
    return Submission((replace(request, encode=fail),))


async def gathered(
    store: SteeredStore, batcher: Batcher, *asked: tuple[Submission, float], held: float = 0.0
) -> list[list[Verdict] | BaseException]:
    """Submit all behind a first transaction, which is `held` for so many seconds; return the outcomes."""
    store.gate.clear()
    first = asyncio.create_task(batcher.submit(add()))
    await store.entered.wait()
    tasks = [asyncio.create_task(batcher.submit(*some)) for some in asked]
    await asyncio.sleep(held)
    store.gate.set()
    await first
    return list(await asyncio.gather(*tasks, return_exceptions=True))


async def test_who_has_expired_in_the_queue_is_told_so_without_a_transaction() -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        late, timely = await gathered(store, batcher, (add(), 0.01), (add(), 5), held=0.05)
    assert isinstance(late, ExpiredError)
    assert accepted(timely)
    assert store.sizes == [1, 1]
    assert store.levels[MUG].on_hand == 2


async def test_who_expires_while_the_transaction_waits_for_its_locks_is_not_decided() -> None:
    store = SteeredStore()
    store.gate.clear()
    async with lane(store) as batcher:
        late = asyncio.create_task(batcher.submit(add(), 0.02))
        await asyncio.sleep(0.05)
        store.gate.set()
        with pytest.raises(ExpiredError):
            await late
    assert store.sizes == [1]
    assert not store.levels


async def test_a_transaction_has_the_time_of_the_most_patient_caller_up_to_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Clock.wound(monkeypatch)  # and never told to go on
    store = SteeredStore()
    async with lane(store, replace(QUICK, deadline=4.0)) as batcher:
        await gathered(store, batcher, (add(), 0.5), (add(), 3.0), (add(), 1.0))
        await batcher.submit(add(), 60.0)
        await batcher.submit(add())
    assert store.withins == [4.0, 3.0, 4.0, 4.0]


async def test_who_runs_out_of_time_in_conflicts_knows_that_nothing_was_done() -> None:
    store = SteeredStore()
    store.contested = {MUG}
    async with lane(store, Limits(tries=1000, first_backoff=0.01, longest_backoff=0.01)) as batcher:
        with pytest.raises(ExpiredError):
            await batcher.submit(add(), 0.1)
    assert len(store.scopes) > 1
    assert not store.levels


async def test_who_runs_out_of_time_after_a_try_without_an_outcome_is_not_told_that_nothing_was_done() -> (
    None
):
    store = SteeredStore()
    lost = UnavailableError()
    async with lane(store, Limits(first_backoff=10, longest_backoff=10)) as batcher:
        store.failures = [lost]
        with pytest.raises(UnavailableError) as told:
            await batcher.submit(add(), 3)  # told at once: the next try would be too late
    assert told.value is lost
    assert store.sizes == [1]


async def test_a_repeat_after_an_unknown_outcome_is_answered_from_the_record() -> None:
    store = SteeredStore()
    asked = add()
    async with lane(store, replace(QUICK, tries=1)) as batcher:
        answer = await batcher.submit(asked)
        assert await batcher.submit(asked) == answer
    assert store.levels[MUG].on_hand == 1


async def test_what_is_out_of_reach_is_decided_alone_and_its_neighbours_together() -> None:
    store = SteeredStore()
    store.unreachable = {PEN}
    async with lane(store) as batcher:
        outcomes = await gathered(store, batcher, (add(), 5), (add(PEN), 5), (add(), 5))
    assert all(map(accepted, outcomes))
    assert store.sizes == [1, 3, 1]
    assert store.levels[MUG].on_hand == 3
    assert store.levels[PEN].on_hand == 1


async def test_a_fault_of_ours_in_one_decision_is_its_callers_alone_and_leaves_nothing() -> None:
    store = SteeredStore()
    fault = ZeroDivisionError("a fault of ours")
    async with lane(store) as batcher:
        outcomes = await gathered(store, batcher, (add(), 5), (faulty(fault), 5), (add(), 5))
    assert outcomes.pop(1) is fault
    assert all(map(accepted, outcomes))
    assert store.sizes == [1, 3]
    assert store.levels[MUG].on_hand == store.levels[MUG].version == 3


async def test_a_conflict_that_stays_is_of_those_alone_who_meet_it() -> None:
    store = SteeredStore()
    store.contested = {PEN}
    async with lane(store, replace(QUICK, tries=2)) as batcher:
        asked = [add() for _ in range(8)]
        asked[0], asked[3] = add(PEN), add(PEN)
        outcomes = await gathered(store, batcher, *((one, 5.0) for one in asked))
    assert isinstance(outcomes.pop(3), ConflictError)
    assert isinstance(outcomes.pop(0), ConflictError)
    assert all(map(accepted, outcomes))
    # Whole twice, then in halves, each once; those who are stuck wait for all others, and together.
    assert store.sizes == [1, 8, 8, 4, 2, 1, 1, 2, 1, 1, 4, 2, 2]
    assert store.levels[MUG].on_hand == 7


async def test_a_neighbour_is_tried_without_whoever_took_all_the_patience() -> None:
    store = SteeredStore()
    store.contested, store.wait = {PEN}, 0.2
    async with lane(store, replace(QUICK, patience=0.1)) as batcher:
        stuck, neighbour = await gathered(store, batcher, (add(PEN), 5), (add(), 5))
    assert isinstance(stuck, ConflictError)
    assert accepted(neighbour)


async def test_who_expires_while_the_other_half_is_tried_needs_no_transaction() -> None:
    store = SteeredStore()
    store.contested, store.wait = {PEN}, 0.2
    async with lane(store, replace(QUICK, tries=1)) as batcher:
        # Whole once (0.2 s), then the half in the way (0.4 s).
        outcomes = await gathered(store, batcher, (add(PEN), 5), (add(), 0.3))
    assert [type(outcome) for outcome in outcomes] == [ConflictError, ExpiredError]
    assert min(store.withins) > 0
    assert store.levels[MUG].on_hand == 1


async def test_what_cannot_be_written_is_found_by_halves() -> None:
    store = SteeredStore()
    async with lane(store) as batcher:
        store.unwritable = {PEN}
        outcomes = await gathered(store, batcher, (add(), 5), (add(PEN), 5), (add(), 5), (add(), 5))
    assert isinstance(outcomes.pop(1), RejectedError)
    assert all(map(accepted, outcomes))
    assert store.levels == {MUG: store.levels[MUG]}
    assert store.levels[MUG].on_hand == 4


async def test_who_goes_away_makes_room_in_the_queue() -> None:
    store = SteeredStore()
    store.gate.clear()
    async with lane(store, replace(QUICK, queue=1)) as batcher:
        first = asyncio.create_task(batcher.submit(add()))
        await store.entered.wait()
        gone = asyncio.create_task(batcher.submit(add()))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await batcher.submit(add())
        gone.cancel()
        await asyncio.sleep(0)
        stays = asyncio.create_task(batcher.submit(add()))
        await asyncio.sleep(0)
        store.gate.set()
        assert accepted(await first)
        assert accepted(await stays)
    assert store.levels[MUG].on_hand == 2
