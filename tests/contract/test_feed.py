"""What the feed promises: every change once and in order, whatever is applied how often, or it says so."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest

from inventory.query.v1.stock_query_service_pb2 import StockChange
from inventory.type.v1.stock_pb2 import StockMovement
from query_svc.read_model import (
    BUCKETS,
    GENERATION,
    Changes,
    Feed,
    FeedEntry,
    ReadModelWriter,
    Told,
    bucket_of,
    connect_feed,
    connect_maintenance,
    connect_writer,
)
from query_svc.read_model.line import Command
from tests.redis_cluster import Servers
from tests.stock import level

SOURCE = "inventory.journal:id-0"
ORIGIN = f"{GENERATION} {SOURCE}"
Record = Sequence[tuple[str, int]]
"""The SKUs that a record changes, each with the version it gets."""


@pytest.fixture
async def feed(fresh: Servers) -> AsyncIterator[Feed]:
    async with connect_feed(fresh.url) as feed:
        yield feed


def change(sku: str, version: int, *, last: bool = True) -> StockChange:
    """Return a change that makes a level's version."""
    movement = StockMovement(sku=sku, location_id="W", version=version, request_id="r" * 36)
    return StockChange(movement=movement, level=level(sku, "W", version) if last else None)


async def put(writer: ReadModelWriter, begun: int, records: Sequence[Record], *, rows: bool = True) -> None:
    """Apply records, of which the first has the offset `begun`, as one run."""
    told = [
        Told(begun + index, change(sku, version))
        for index, record in enumerate(records)
        for sku, version in record
    ]
    newest = {one.change.movement.sku: one.change.level for one in told} if rows else {}
    await writer.apply(Changes(newest.values(), told=told, begun=begun), begun + len(records))


async def everything(feed: Feed) -> dict[str, list[FeedEntry]]:
    """Return every entry by its SKU, having seen that none is missing between two."""
    found: dict[str, list[FeedEntry]] = defaultdict(list)
    for entries in (await feed.read(dict.fromkeys(range(BUCKETS), (0, 0)), 1000)).values():
        for before, entry in pairwise(entries):
            assert entry.after == before.place
        for entry in entries:
            found[entry.change.movement.sku].append(entry)
    return found


def versions(entries: Sequence[FeedEntry]) -> list[tuple[int, int]]:
    """Return the version before each entry and its own."""
    return [(entry.previous, entry.change.movement.version) for entry in entries]


async def test_every_change_is_told_once_in_order_with_what_was_before(
    writer: ReadModelWriter, feed: Feed
) -> None:
    await writer.resume(SOURCE)
    await put(writer, 0, [[("A", 1), ("B", 1), ("A", 2)], [("A", 3)]])
    await put(writer, 2, [[("A", 4)], [("A", 3)], [("B", 1), ("B", 2)]])
    found = await everything(feed)
    assert versions(found["A"]) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert versions(found["B"]) == [(0, 1), (1, 2)]
    assert found["A"][3].change == change("A", 4)
    assert found["A"][2].place == (1, 1)
    state = (await feed.states())[bucket_of("A")]
    assert state == (ORIGIN, 0, 5, 0)


async def test_what_is_applied_again_from_anywhere_changes_nothing(fresh: Servers, feed: Feed) -> None:
    rng = random.Random(7)
    last: dict[str, int] = defaultdict(int)
    records: list[Record] = []
    for _ in range(60):
        record = []
        for sku in rng.choices("ABCDEF", k=rng.randint(1, 4)):
            last[sku] += 1
            record.append((sku, last[sku]))
        records.append(record)
    async with connect_writer(fresh.url) as writer:
        await writer.resume(SOURCE)
        await put(writer, 0, records)
    once = await everything(feed)
    assert {sku: [version for _, version in versions(entries)] for sku, entries in once.items()} == {
        sku: list(range(1, newest + 1)) for sku, newest in last.items()
    }
    # A Redis that has lost all, and gets it again in other runs, with some of it twice.
    with fresh.client() as client:
        client.flushall()
    async with connect_writer(fresh.url) as writer:
        while (start := await writer.resume(SOURCE) or 0) < len(records):
            end = min(len(records), start + rng.randint(1, 9))
            await put(writer, start, records[start:end])
            if rng.random() < 0.7:  # or the buckets that were not touched stay behind
                await writer.settle()
    assert await everything(feed) == once


async def test_a_change_that_never_came_shows_between_the_versions(
    writer: ReadModelWriter, feed: Feed
) -> None:
    await writer.resume(SOURCE)
    await put(writer, 0, [[("A", 1)], [("A", 4)]])
    assert versions((await everything(feed))["A"]) == [(0, 1), (1, 4)]


async def test_a_row_may_come_after_the_changes_that_led_to_it(writer: ReadModelWriter, feed: Feed) -> None:
    await writer.resume(SOURCE)
    await put(writer, 0, [[("A", 1), ("A", 2)]], rows=False)
    await put(writer, 1, [[("A", 3)]], rows=False)
    await writer.apply(Changes([level("A", "W", 3)]), 3)
    await put(writer, 3, [[("A", 4)]])
    assert versions((await everything(feed))["A"]) == [(0, 1), (1, 2), (2, 3), (3, 4)]


async def test_a_row_without_its_changes_begins_the_feed_anew(writer: ReadModelWriter, feed: Feed) -> None:
    await writer.resume(SOURCE)
    await put(writer, 0, [[("A", 1)]])
    await writer.apply(Changes([level("A", "W", 3)]), 8)
    assert await everything(feed) == {}
    await put(writer, 8, [[("A", 4)]])
    (entry,) = (await everything(feed))["A"]
    assert (entry.after, entry.previous) == ((8, 0), 3)
    assert (await feed.states())[bucket_of("A")] == (ORIGIN, 8, 9, 1)


async def test_a_state_is_of_one_moment(
    writer: ReadModelWriter, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held is told with the place from which on it is: a feed begun anew in between hides nothing."""
    await writer.resume(SOURCE)
    await put(writer, 0, [[("A", 1)]])
    line = feed._line  # noqa: SLF001 - what happens between its round trips shows nowhere else
    ask, trips = line.ask, 0

    async def interrupted(commands: Sequence[Command]) -> list[object]:
        nonlocal trips
        answers = await ask(commands)
        if commands[0][:1] == ("HGET",):
            trips += 1
            await writer.apply(Changes([level("A", "W", 3)]), 8)
        return answers

    monkeypatch.setattr(line, "ask", interrupted)
    state = (await feed.states())[bucket_of("A")]
    assert trips == 1
    assert state == (ORIGIN, 8, 8, 1)


async def test_rows_that_become_newer_untold_are_counted_where_nothing_else_shows_them(
    fresh: Servers, writer: ReadModelWriter, feed: Feed
) -> None:
    await writer.resume(SOURCE)
    await put(writer, 0, [[("A", 1)]])
    async with connect_maintenance(fresh.url, GENERATION) as maintenance:
        for breaks in (1, 2):
            await maintenance.put(Changes([level("A", "W", 1 + breaks)]))
            assert (await feed.states())[bucket_of("A")] == (ORIGIN, 1, 1, breaks)
        (stored,) = await maintenance.stored("levels", [level("A", "W", 4)])
        assert await maintenance.replace(stored)
    assert (await feed.states())[bucket_of("A")] == (ORIGIN, 1, 1, 3)


async def test_a_row_that_is_put_takes_nothing_from_a_feed_that_has_told_of_it(
    fresh: Servers, writer: ReadModelWriter, feed: Feed
) -> None:
    """The rest of a large transaction: its changes are told before their rows come."""
    await writer.resume(SOURCE)
    await put(writer, 0, [[("A", 1)]])
    await put(writer, 1, [[("A", 2), ("A", 3)]], rows=False)
    async with connect_maintenance(fresh.url, GENERATION) as maintenance:
        for version, floor, breaks in ((2, 0, 0), (3, 0, 0), (4, 2, 1)):
            await maintenance.put(Changes([level("A", "W", version)]))
            assert (await feed.states())[bucket_of("A")] == (ORIGIN, floor, 2, breaks)


@pytest.mark.parametrize(("source", "begun"), [("inventory.journal:other-0", 0), (SOURCE, 9)])
async def test_another_journal_or_one_with_a_hole_begins_it_anew(
    writer: ReadModelWriter, feed: Feed, source: str, begun: int
) -> None:
    await writer.resume(SOURCE)
    await put(writer, 0, [[("A", 1)], [("A", 2)]])
    await writer.resume(source)
    await put(writer, begun, [[("A", 3)]])
    (entry,) = (await everything(feed))["A"]
    assert (entry.after, entry.previous) == ((begun, 0), 2)
    assert (await feed.states())[bucket_of("A")] == (f"{GENERATION} {source}", begun, begun + 1, 0)


async def test_it_is_bounded_and_a_reader_sees_what_it_has_missed(fresh: Servers, feed: Feed) -> None:
    async with connect_writer(fresh.url, feed_entries=100) as writer:
        await writer.resume(SOURCE)
        for version in range(1, 1001):
            await put(writer, version - 1, [[("A", version)]])
    entries = (await everything(feed))["A"]
    assert 100 <= len(entries) < 300
    assert entries[0].after > (0, 1)
    assert entries[-1].change.movement.version == 1000


async def test_who_listens_hears_which_bucket_has_grown(writer: ReadModelWriter, feed: Feed) -> None:
    await writer.resume(SOURCE)
    async with feed.news() as news:
        # Of the tests before: from node to node of a cluster, news takes a while.
        while await news.grown(0.05):
            pass
        await put(writer, 0, [[("A", 1), ("B", 1)]])
        heard = await news.grown(5)
        while heard != {bucket_of("A"), bucket_of("B")}:
            heard |= await news.grown(5)
        assert await feed.ends([bucket_of("A"), 1, 2]) == {bucket_of("A"): (0, 1)}
