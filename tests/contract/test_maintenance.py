"""What is done to the read model beside the stream: gaps noticed, rows put, looked at, replaced, removed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from query_svc.read_model import (
    BUCKETS,
    GENERATION,
    Changes,
    Gap,
    Listed,
    Maintenance,
    ReadModel,
    ReadModelWriter,
    bucket_of,
    connect_maintenance,
    indexes,
)
from query_svc.read_model.keys import Keys
from tests.redis_cluster import Servers
from tests.redis_server import content
from tests.stock import item, level, location, lot, order, reservation, transfer

SOURCE = "inventory.journal:id-0"
THINGS: dict[str, Any] = {
    "levels": level("MUG-1", "WH-1", 3, on_hand=1),
    "items": item("MUG-1", 3),
    "locations": location("WH-1", 3),
    "lots": lot("MUG-1", "WH-1", "L-1", 3),
    "reservations": reservation(1, 3),
    "orders": order(1, 3),
    "transfers": transfer(1, 3),
}
NAMES = {
    "levels": ("MUG-1", "WH-1"),
    "items": ("MUG-1",),
    "locations": ("WH-1",),
    "lots": ("MUG-1", "WH-1", "L-1"),
    "reservations": (THINGS["reservations"].reservation_id,),
    "orders": (THINGS["orders"].order_id,),
    "transfers": (THINGS["transfers"].transfer_id,),
}
KINDS = list(THINGS)


@pytest.fixture
async def maintenance(fresh: Servers) -> AsyncIterator[Maintenance]:
    """Give the maintenance of the empty server's generation."""
    async with connect_maintenance(fresh.url, GENERATION) as maintenance:
        yield maintenance


def changes(kind: str, *things: object) -> Changes:
    """Return changes of one kind."""
    return Changes(**{kind: things})  # type: ignore[arg-type] # of whatever kind


def at(kind: str, version: int) -> Any:  # noqa: ANN401 - of whatever kind
    """Return the thing of a kind at another version."""
    thing = type(THINGS[kind]).FromString(THINGS[kind].SerializeToString())
    thing.version = version
    return thing


async def test_a_gap_is_noticed_where_versions_are_missing(writer: ReadModelWriter) -> None:
    await writer.resume(SOURCE)
    name = ("A", "W")
    await writer.apply(Changes([level(*name, 2)], follows={name: 0}), 1)
    await writer.apply(Changes([level(*name, 5)], follows={name: 2}), 2)
    await writer.apply(Changes([level(*name, 4)], follows={name: 3}), 3)
    assert writer.take_gaps() == []
    changes = Changes(
        [level("C", "W", 1), level(*name, 9), level("B", "W", 4)], follows={name: 7, ("B", "W"): 3}
    )
    await writer.apply(changes, 4)
    assert sorted(writer.take_gaps()) == [Gap("A", "W", 5, 7), Gap("B", "W", 0, 3)]
    assert writer.take_gaps() == []


async def test_what_is_put_has_no_position(writer: ReadModelWriter, maintenance: Maintenance) -> None:
    """Rows put beside the stream take nothing from it, and only what is newer."""
    await writer.resume(SOURCE)
    await writer.apply(Changes([level("A", "W", 2)]), 7)
    assert await maintenance.put(Changes([level("A", "W", 1), level("A", "S", 1)])) == (1, 1)
    await writer.verify()
    await writer.apply(Changes([level("A", "W", 3)]), 8)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_stored_is_told_from_what_should_be(
    fresh: Servers, maintenance: Maintenance, kind: str
) -> None:
    (nothing,) = await maintenance.stored(kind, [THINGS[kind]])
    assert (nothing.matches, nothing.version) == (False, 0)
    assert not await maintenance.shows(kind, [THINGS[kind]])
    await maintenance.put(changes(kind, THINGS[kind]))
    (same,) = await maintenance.stored(kind, [THINGS[kind]])
    assert (same.matches, same.version) == (True, 3)
    assert maintenance.message(kind, same, NAMES[kind]) == THINGS[kind]
    (other,) = await maintenance.stored(kind, [at(kind, 4)])
    assert (other.matches, other.version) == (False, 3)
    assert await maintenance.shows(kind, [THINGS[kind]])
    assert not await maintenance.shows(kind, [at(kind, 4)])
    if kind == "locations":
        return
    with fresh.client() as client:
        (index, *_) = [key for key in client.scan_iter() if client.type(key) == b"zset"]
        client.delete(index)
    (unlisted,) = await maintenance.stored(kind, [THINGS[kind]])
    assert (unlisted.matches, bool(unlisted.unlisted)) == (False, True)
    assert not await maintenance.shows(kind, [THINGS[kind]])


async def test_one_of_many_that_is_not_as_it_should_be_is_seen(
    fresh: Servers, maintenance: Maintenance
) -> None:
    """By its value, by what is listed, and by entries that it has no longer."""
    levels = [level(f"S-{number}", "WH-1", 3, on_hand=1) for number in range(300)]
    sku, keys = levels[100].sku, Keys(GENERATION)
    listed, entries = keys.of_bucket(bucket_of(sku), indexes.LEVELS_BY_LOCATION), keys.entries(bucket_of(sku))
    await maintenance.put(Changes(levels))
    assert await maintenance.shows("levels", levels)
    with fresh.client() as client:
        right = client.hget(keys.levels(sku), "WH-1")
        client.hset(keys.levels(sku), "WH-1", "3 spoilt")
        assert not await maintenance.shows("levels", levels)
        client.hset(keys.levels(sku), "WH-1", right)
        assert await maintenance.shows("levels", levels)
        client.zrem(listed, indexes.member("WH-1", sku))
        assert not await maintenance.shows("levels", levels)
        client.zadd(listed, {indexes.member("WH-1", sku): 0})
        assert await maintenance.shows("levels", levels)
        client.hset(entries, f"{keys.levels(sku)}\0WH-1", "left over")
        assert not await maintenance.shows("levels", levels)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_replaced_leaves_no_trace(fresh: Servers, maintenance: Maintenance, kind: str) -> None:
    """However wrong what was there: figures, version, entries; unless something else has come meanwhile."""
    await maintenance.put(changes(kind, THINGS[kind]))
    with fresh.client() as client:
        right = content(client)
        await maintenance.put(changes(kind, at(kind, 99)))
        (seen,) = await maintenance.stored(kind, [THINGS[kind]])
        await maintenance.put(changes(kind, at(kind, 100)))
        assert not await maintenance.replace(seen)
        (seen,) = await maintenance.stored(kind, [THINGS[kind]])
        assert await maintenance.replace(seen)
        assert content(client) == right
        client.flushdb()
        (seen,) = await maintenance.stored(kind, [THINGS[kind]])
        assert await maintenance.replace(seen)
        assert content(client) == right


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_removed_leaves_no_trace(fresh: Servers, maintenance: Maintenance, kind: str) -> None:
    await maintenance.put(changes(kind, THINGS[kind]))
    assert [page async for page in maintenance.names(kind)] == [[NAMES[kind]]]
    assert await maintenance.remove(kind, NAMES[kind]) == THINGS[kind]
    assert await maintenance.remove(kind, NAMES[kind]) is None
    with fresh.client() as client:
        assert content(client) == {}


PROMISES = ["reservations", "orders", "transfers"]


@pytest.mark.parametrize("kind", PROMISES)
async def test_what_is_retired_leaves_no_trace_unless_it_is_newer(
    fresh: Servers, maintenance: Maintenance, kind: str
) -> None:
    await maintenance.put(changes(kind, THINGS[kind]))
    with fresh.client() as client:
        right = content(client)
        assert await maintenance.retire(kind, {NAMES[kind]: 2, ("none",): 9}) == 0
        assert content(client) == right
        assert await maintenance.retire(kind, {NAMES[kind]: 3, ("none",): 9}) == 1
        assert content(client) == {}
        # An old record that comes again is taken, and goes again; a newer one stays.
        await maintenance.put(changes(kind, at(kind, 1)))
        assert await maintenance.retire(kind, {NAMES[kind]: 3}) == 1
        assert content(client) == {}
        await maintenance.put(changes(kind, at(kind, 4)))
        assert await maintenance.retire(kind, {NAMES[kind]: 3}) == 0
        assert content(client) != {}


async def left_over(maintenance: Maintenance) -> list[Listed]:
    """Return all entries of indexes that no row has."""
    there = maintenance.indexes
    return [one async for page in there.listed() for one in await there.left_over(page)]


async def test_entries_that_no_row_has_are_found_and_withdrawn(
    fresh: Servers, maintenance: Maintenance
) -> None:
    """Of every index: of no row, of a row that stands elsewhere, in another bucket, and what is no name."""
    for kind, thing in THINGS.items():
        await maintenance.put(changes(kind, thing))
    assert await left_over(maintenance) == []
    keys = Keys(GENERATION)
    with fresh.client() as client:
        right = content(client)
        planted = set()
        for number, (index, (kind, places)) in enumerate(indexes.OWNERS.items()):
            sku = f"NONE-{number}"
            name = {"levels": (sku, "WH-1"), "lots": (sku, "WH-1", "L-1")}.get(kind, (sku,))
            parts = ["x"] * (4 if kind == "lots" else len(name))
            for place, part in zip(places, name, strict=True):
                parts[place] = part
            planted.add(Listed(index, bucket_of(sku), "\0".join(parts).encode()))
            planted.add(Listed(index, (bucket_of(sku) + 1) % BUCKETS, "\0".join(parts).encode()))
        mug = bucket_of("MUG-1")
        planted.add(Listed(indexes.LOW_BY_LOCATION, mug, b"WH-9\0MUG-1"))
        planted.add(Listed(indexes.LOW_BY_SKU, mug, b"MUG-1\0WH-9"))
        planted.add(Listed(indexes.BACKORDERED_BY_SKU, mug, b"MUG-1\0WH-1"))
        planted.add(Listed(indexes.ITEMS_BY_CATEGORY, mug, b"garden\0MUG-1"))
        planted.add(Listed(indexes.LOTS_BY_SKU, mug, b"MUG-1\0WH-1"))
        planted.add(Listed(indexes.ITEMS_BY_TAG, mug, b"\xff\0MUG-1"))
        for one in planted:
            client.zadd(keys.of_bucket(one.bucket, one.name), {one.member: 0})
        found = await left_over(maintenance)
        assert set(found) == planted
        assert await maintenance.indexes.withdraw(found) == len(planted)
        assert content(client) == right
        # One that a row has come to have since stays.
        low = Listed(indexes.LOW_BY_SKU, mug, b"MUG-1\0WH-1")
        assert await maintenance.indexes.withdraw([low]) == 0
        assert content(client) == right


async def test_a_row_that_cannot_be_read_keeps_its_entries(fresh: Servers, maintenance: Maintenance) -> None:
    """Which they are is not known: the row is put right first."""
    await maintenance.put(changes("items", THINGS["items"]))
    with fresh.client() as client:
        client.hset(Keys(GENERATION).items(bucket_of("MUG-1")), "MUG-1", b"3 \xff")
    assert await left_over(maintenance) == []


async def test_a_generation_is_discarded_in_steps_and_alone(
    fresh: Servers, maintenance: Maintenance, view: ReadModel
) -> None:
    async def fill(one: Maintenance) -> None:
        for kind, thing in THINGS.items():
            await one.put(changes(kind, thing))
        await one.put(Changes([level(f"S-{number}", "WH-1", 1) for number in range(2000)]))

    await fill(maintenance)
    async with connect_maintenance(fresh.url, f"{GENERATION}x") as other:
        await fill(other)
        steps: Sequence[int] = [0]
        while removed := await other.discard():
            steps = [*steps, removed]
        assert len(steps) > 2
        assert max(steps) < 1500
    with fresh.client() as client:
        assert all(key.decode().startswith(f"{GENERATION}:") for key in client.scan_iter())
    assert await view.level("S-1", "WH-1") == level("S-1", "WH-1", 1)
    assert Keys(GENERATION).pattern().startswith(f"{GENERATION}:")
