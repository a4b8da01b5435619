"""What is done to the read model beside the stream: gaps noticed, rows put, looked at, replaced, removed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from query_svc.read_model import (
    GENERATION,
    Changes,
    Gap,
    Maintenance,
    ReadModel,
    ReadModelWriter,
    connect_maintenance,
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
    await maintenance.put(changes(kind, THINGS[kind]))
    (same,) = await maintenance.stored(kind, [THINGS[kind]])
    assert (same.matches, same.version) == (True, 3)
    assert maintenance.message(kind, same, NAMES[kind]) == THINGS[kind]
    (other,) = await maintenance.stored(kind, [at(kind, 4)])
    assert (other.matches, other.version) == (False, 3)
    if kind == "locations":
        return
    with fresh.client() as client:
        (index, *_) = [key for key in client.scan_iter() if client.type(key) == b"zset"]
        client.delete(index)
    (unlisted,) = await maintenance.stored(kind, [THINGS[kind]])
    assert (unlisted.matches, bool(unlisted.unlisted)) == (False, True)


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
