"""Whatever order and repetition changes come in, the rows are the newest and the indexes theirs."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

import pytest
from google.type.date_pb2 import Date

from cdc.projector import fold
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.item_pb2 import ItemState
from inventory.type.v1.order_pb2 import OrderState
from inventory.type.v1.reservation_pb2 import ReservationState
from inventory.type.v1.transfer_pb2 import TransferState
from query_svc.read_model import GENERATION, Changes, ReadModel, ReadModelWriter, Span, indexes
from query_svc.read_model.keys import Keys, bucket_of
from tests.redis_cluster import Servers
from tests.redis_server import content
from tests.stock import (
    Thing,
    item,
    level,
    location,
    lot,
    order,
    promise_id,
    reservation,
    transaction,
    transfer,
)

SOURCE = "inventory.journal:id-0"
KEYS = Keys(GENERATION)
EXPIRIES = [None, Date(year=2027, month=3, day=31), Date(year=2026, month=12, day=1)]
CATEGORIES = ["home/kitchen/mugs", "home", "office/kitchen"]
NAMES = ["Mug", "Cup", "Ж" * 100]

MAKERS: dict[str, Callable[[int, int], Thing]] = {
    "level": lambda number, version: level(f"S{number}", f"W{number % 2}", version),
    "item": lambda number, version: item(f"S{number}", version),
    "location": lambda number, version: location(f"W{number}", version),
    "lot": lambda number, version: lot(f"S{number}", "W0", f"L{number}", version, EXPIRIES[number % 3]),
    "reservation": lambda number, version: reservation(
        number, version, f"S{number % 2}", f"cart-{number % 3}"
    ),
    "order": lambda number, version: order(number, version, f"S{number % 2}", f"cart-{number % 3}"),
    "transfer": lambda number, version: transfer(number, version, f"S{number % 2}", f"note-{number % 3}"),
}


def one_of(kind: str, number: int, version: int, rng: random.Random) -> Thing:
    """Return a thing of a kind at a version; what may change about it is left to chance."""
    states = {"reservation": ReservationState, "order": OrderState, "transfer": TransferState}
    thing: Any = MAKERS[kind](number, version)
    match kind:
        case "level":
            thing.backordered, thing.low = rng.randrange(2), rng.random() < 0.5
        case "item":
            thing.name = rng.choice(NAMES)
            thing.categories[:] = rng.sample(CATEGORIES, rng.randrange(3))
            thing.tags[:] = rng.sample(["new", "blue", "sale"], rng.randrange(3))
            thing.parent_sku = "" if number % 2 else "PARENT"
            thing.state = rng.choice(ItemState.values()[1:])
        case "location":
            thing.name = rng.choice(NAMES)
        case "lot":
            thing.on_hand = rng.randrange(2)
        case _:
            thing.state = rng.choice(states[kind].values()[1:])
    return cast("Thing", thing)


def journal(seed: int, length: int = 60) -> list[Transaction]:
    """Return transactions that make and change things of every kind."""
    rng = random.Random(seed)
    versions: dict[tuple[str, int], int] = defaultdict(int)
    records = []
    for count in range(1, length + 1):
        things = []
        for kind in MAKERS:
            number = rng.randrange(5)
            versions[kind, number] += 1
            things.append(one_of(kind, number, versions[kind, number], rng))
        records.append(transaction(count, *things))
    return records


def expected(changes: Changes) -> dict[str, list[bytes]]:
    """Return the indexes, by their keys, that stand beside these rows and no others."""
    found: dict[str, set[bytes]] = defaultdict(set)

    def enter(name: str, entries: indexes.Entries) -> None:
        for index, member in (*entries.kept, *entries.current):
            found[KEYS.of_bucket(bucket_of(name), index)].add(member.encode())

    for one in changes.levels:
        enter(one.sku, indexes.of_level(one))
    for batch in changes.lots:
        enter(batch.sku, indexes.of_lot(batch))
    for thing in changes.items:
        enter(thing.sku, indexes.of_item(thing))
    for held in changes.reservations:
        enter(held.reservation_id, indexes.of_reservation(held))
    for sold in changes.orders:
        enter(sold.order_id, indexes.of_order(sold))
    for moved in changes.transfers:
        enter(moved.transfer_id, indexes.of_transfer(moved))
    return {key: sorted(members) for key, members in found.items()}


@pytest.mark.parametrize("seed", range(8))
async def test_the_indexes_are_those_of_the_newest_rows(
    fresh: Servers, writer: ReadModelWriter, view: ReadModel, seed: int
) -> None:
    records = journal(seed)
    newest = fold(records)
    rng = random.Random(seed)
    delivered = records + rng.choices(records, k=len(records))
    rng.shuffle(delivered)
    await writer.resume(SOURCE)
    while delivered:
        size = rng.randrange(1, 10)
        await writer.apply(fold(delivered[:size]), len(delivered))
        del delivered[:size]
    with fresh.client() as client:
        found = {key: kept for key, kept in content(client).items() if isinstance(kept, list)}
    assert found == expected(newest)
    assert {one.reservation_id: one for one in newest.reservations} == {
        one.reservation_id: one for one in await view.reservations(names(5)) if one
    }
    assert {one.order_id: one for one in newest.orders} == {
        one.order_id: one for one in await view.orders(names(5)) if one
    }
    assert {one.transfer_id: one for one in newest.transfers} == {
        one.transfer_id: one for one in await view.transfers(names(5)) if one
    }
    lots = await view.lots([(f"S{number}", "W0", f"L{number}") for number in range(5)])
    assert {one.sku: one for one in newest.lots} == {one.sku: one for one in lots if one}


@pytest.mark.parametrize("seed", range(3))
async def test_a_replay_of_everything_changes_no_byte(
    fresh: Servers, writer: ReadModelWriter, seed: int
) -> None:
    records = journal(seed)
    await writer.resume(SOURCE)
    for number, record in enumerate(records, start=1):
        await writer.apply(fold([record]), number)
    with fresh.client() as client:
        before = content(client)
        for number, record in enumerate(records, start=1):
            await writer.apply(fold([record]), number)
        assert content(client) == before


def names(count: int) -> list[str]:
    """Return the ids of the first reservations, orders or transfers."""
    return [promise_id(number) for number in range(count)]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("count", [1, 3, 64, 500, 2000])
async def test_pages_of_a_span_hold_every_member_once_in_order(
    writer: ReadModelWriter, view: ReadModel, count: int, *, descending: bool
) -> None:
    await writer.resume(SOURCE)
    await writer.apply(Changes([level(f"S{number:04}", f"W{number % 3}", 1) for number in range(300)]), 1)
    wanted = [
        (Span(indexes.LEVELS_BY_LOCATION, "W1\0"), [f"S{number:04}" for number in range(1, 300, 3)]),
        (
            Span(indexes.LEVELS_BY_LOCATION, "W1\0", low="S0100", high="S0200"),
            [f"S{number:04}" for number in range(100, 200, 3)],
        ),
        (
            Span(indexes.LEVELS_BY_LOCATION, "W1\0", bucket=bucket_of("S0001")),
            [f"S{n:04}" for n in range(1, 300, 3) if bucket_of(f"S{n:04}") == bucket_of("S0001")],
        ),
        (Span(indexes.LEVELS_BY_LOCATION), [f"W{n % 3}\0S{n:04}" for n in range(300)]),
        (Span(indexes.LEVELS_BY_LOCATION, "W\0"), []),
        (Span(indexes.LOW_BY_SKU), []),
    ]
    for span, tails in wanted:
        found: list[str] = []
        pages = 0
        while page := await view.tails(
            span, after=found[-1] if found else None, count=count, descending=descending
        ):
            assert len(page) <= count
            found += page
            pages += 1
        assert found == sorted(tails, reverse=descending)
        assert pages == -(-len(tails) // count)


@pytest.mark.parametrize("descending", [False, True])
async def test_members_that_crowd_in_one_bucket_are_all_found(
    writer: ReadModelWriter, view: ReadModel, *, descending: bool
) -> None:
    """One item at many places beside many others: its bucket is asked again and again."""
    many = [level("MANY", f"W{number:04}", 1) for number in range(700)]
    others = [level(f"S{number}", "W", 1) for number in range(200)]
    await writer.resume(SOURCE)
    await writer.apply(Changes([*many, *others]), 1)
    names = sorted([f"{one.location_id}\0{one.sku}" for one in [*many, *others]], reverse=descending)
    span = Span(indexes.LEVELS_BY_LOCATION)
    assert await view.tails(span, after=None, count=800, descending=descending) == names[:800]
    assert await view.tails(span, after=names[649], count=100, descending=descending) == names[650:750]
