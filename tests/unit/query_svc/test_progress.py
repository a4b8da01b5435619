"""What the view is known to hold, mark by mark."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from query_svc.progress import MARGIN_MILLISECONDS, Progress
from query_svc.read_model import Mark
from serving.tokens import CommittedTransaction

NOW = 1_790_000_000_000


def transaction(number: int, recorded: int = NOW) -> CommittedTransaction:
    return CommittedTransaction(
        UUID(int=number), datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=recorded)
    )


def mark(*numbers: int, as_of: int = NOW, whole: bool = True) -> Mark:
    return Mark([UUID(int=number).bytes for number in numbers], as_of, whole)


def test_what_is_marked_is_held_and_nothing_else() -> None:
    progress = Progress()
    assert not progress.holds(transaction(1))
    progress.take(mark(1, 2))
    assert progress.holds(transaction(1))
    assert not progress.holds(transaction(3))


def test_what_is_older_than_any_transaction_can_last_is_held_unseen_and_forgotten_by_name() -> None:
    progress = Progress()
    progress.take(mark(1))
    progress.take(mark(2, as_of=NOW + MARGIN_MILLISECONDS))
    assert not progress.holds(transaction(9))
    progress.take(mark(3, as_of=NOW + MARGIN_MILLISECONDS + 1))
    assert progress.holds(transaction(9))
    assert progress.holds(transaction(1))
    assert not progress.holds(transaction(1, NOW + 1))  # by its name it is not known any more
    assert progress.holds(transaction(2, NOW + MARGIN_MILLISECONDS))


def test_memory_holds_no_more_than_the_margin() -> None:
    progress = Progress()
    for number in range(10_000):
        progress.take(mark(number, as_of=NOW + number * MARGIN_MILLISECONDS // 100))
    assert len(progress._ids) <= 102  # noqa: SLF001 - what it keeps shows nowhere else


def test_a_view_that_is_being_filled_holds_nothing() -> None:
    progress = Progress()
    progress.take(mark(1))
    progress.take(mark(2, whole=False))
    assert not progress.holds(transaction(1))
    assert not progress.holds(transaction(2))
    progress.take(mark(3))
    assert progress.holds(transaction(3))
    assert not progress.holds(transaction(1))


def test_what_was_forgotten_is_not_known_and_shows_as_another_life() -> None:
    progress = Progress()
    progress.take(mark(1))
    progress.forget()
    assert not progress.holds(transaction(1))
    assert (progress.lives, progress.as_of, progress.whole) == (1, 0, False)


async def test_who_waits_is_told_when_it_arrives_and_not_before() -> None:
    progress = Progress()
    progress.take(mark())
    waiting = [asyncio.create_task(progress.wait(transaction(number), 5)) for number in (1, 1, 2)]
    await asyncio.sleep(0)
    progress.take(mark(1))
    assert await waiting[0]
    assert await waiting[1]
    assert not waiting[2].done()
    progress.forget()
    await asyncio.sleep(0)
    assert not waiting[2].done()
    progress.take(mark(2))
    assert await waiting[2]
    assert not progress._waiting  # noqa: SLF001 - what it keeps shows nowhere else


async def test_a_wait_ends_in_vain_with_its_time() -> None:
    progress = Progress()
    progress.take(mark())
    assert not await progress.wait(transaction(1), 0.01)
    assert not await progress.wait(transaction(1), 0)
    assert not progress._waiting  # noqa: SLF001 - what it keeps shows nowhere else


async def test_no_more_wait_than_may() -> None:
    progress = Progress(max_waiting=2)
    progress.take(mark())
    waiting = [asyncio.create_task(progress.wait(transaction(number), 5)) for number in (1, 2)]
    await asyncio.sleep(0)
    assert not await asyncio.wait_for(progress.wait(transaction(3), 5), 1)
    waiting[0].cancel()
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    third = asyncio.create_task(progress.wait(transaction(3), 5))
    await asyncio.sleep(0)
    progress.take(mark(2, 3))
    assert await third
    assert await waiting[1]
