"""What the marks of applied transactions promise: behind their effect, once, and no longer than needed."""

from collections.abc import AsyncIterator

import pytest

from query_svc.read_model import (
    Changes,
    Commits,
    Mark,
    Marks,
    ReadModel,
    ReadModelRewoundError,
    ReadModelWriter,
    connect_marks,
    connect_writer,
)
from query_svc.read_model.keys import GENERATION, Keys
from query_svc.read_model.marks import KEPT_MILLISECONDS
from tests.redis_cluster import Servers
from tests.stock import level

SOURCE = "inventory.journal:id-0"
NOW = 1_790_000_000_000
IDS = [bytes([number]) * 16 for number in range(10)]


@pytest.fixture
async def marks(fresh: Servers) -> AsyncIterator[Marks]:
    """Give the marks of the empty server."""
    async with connect_marks(fresh.url, timeout=0.4) as marks:
        yield marks


async def test_transactions_are_marked_with_what_they_changed(
    writer: ReadModelWriter, marks: Marks, view: ReadModel
) -> None:
    assert await marks.read() == []
    assert await view.newest_mark() is None
    await writer.resume(SOURCE)
    await writer.apply(Changes([level("A", "W", 1)]), 1, Commits(IDS[:2], NOW))
    await writer.apply(Changes(), 2, Commits(IDS[2:3], NOW + 5))
    assert await marks.read() == [Mark(IDS[:2], NOW, whole=True), Mark(IDS[2:3], NOW + 5, whole=True)]
    assert await marks.read() == []
    assert await view.newest_mark() == Mark(IDS[2:3], NOW + 5, whole=True)
    marks.rewind()
    assert len(await marks.read()) == 2


async def test_what_the_view_holds_never_moves_back(writer: ReadModelWriter, marks: Marks) -> None:
    await writer.resume(SOURCE)
    await writer.apply(Changes(), 1, Commits(IDS[:1], NOW))
    await writer.apply(Changes(), 2, Commits(IDS[1:2], NOW - 1000))  # committed later, recorded before
    await writer.apply(Changes(), 3)
    assert [mark.as_of for mark in await marks.read()] == [NOW, NOW, NOW]


async def test_a_view_that_is_filled_is_whole_at_its_goal(writer: ReadModelWriter, marks: Marks) -> None:
    await writer.resume(SOURCE)
    await writer.fill(3)
    await writer.apply(Changes(), 2, Commits(IDS[:1], NOW))
    assert await writer.resume(SOURCE) is None
    await writer.apply(Changes(), 3, Commits(IDS[1:2], NOW))
    await writer.apply(Changes(), 4, Commits(IDS[2:3], NOW))
    assert [mark.whole for mark in await marks.read()] == [False, True, True]


async def test_what_was_applied_but_not_marked_is_read_again(fresh: Servers, writer: ReadModelWriter) -> None:
    await writer.resume(SOURCE)
    await writer.apply(Changes(), 5)
    await writer.settle()
    assert await writer.resume(SOURCE) == 5
    with fresh.client() as client:
        client.hset(Keys(GENERATION).mark_positions, SOURCE, 3)
    assert await writer.resume(SOURCE) == 3


async def test_a_writer_that_was_overtaken_marks_nothing(
    fresh: Servers, writer: ReadModelWriter, marks: Marks
) -> None:
    await writer.resume(SOURCE)
    async with connect_writer(fresh.url) as other:
        await other.resume(SOURCE)
        await other.apply(Changes([level("B", "W", 1)]), 7, Commits(IDS[:1], NOW))
    with pytest.raises(ReadModelRewoundError):
        await writer.apply(Changes(), 5, Commits(IDS[1:2], NOW))
    assert [mark.ids for mark in await marks.read()] == [IDS[:1]]


async def test_marks_are_kept_for_minutes_however_fast_they_come(
    fresh: Servers, writer: ReadModelWriter, marks: Marks
) -> None:
    await writer.resume(SOURCE)
    step = KEPT_MILLISECONDS // 200
    for number in range(1000):
        await writer.apply(Changes(), number + 1, Commits(IDS[:1], NOW + number * step))
    with fresh.client() as client:
        assert 200 <= client.xlen(Keys(GENERATION).marks) <= 400
    first = (await marks.read())[0].as_of
    assert first <= NOW + 999 * step - KEPT_MILLISECONDS
