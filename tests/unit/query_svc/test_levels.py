"""Levels and lots listed: filtered, in order, page by page."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from google.type.date_pb2 import Date

from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.type.v1.lot_pb2 import Lot
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import Changes
from query_svc.services import levels as lists
from query_svc.services import paging
from tests.stock import item, level, lot
from tests.unit.query_svc.conftest import Fill, Queries

SKUS = [f"S{number:02}" for number in range(60)]
PLACES = ["W", "W-1", "W-10", "W-2"]
DAYS = [
    None,
    Date(year=2026, month=12, day=1),
    Date(year=2026, month=12, day=2),
    Date(year=2027, month=1, day=1),
]


def made(seed: int = 1) -> list[StockLevel]:
    """Return levels of items at some of the places."""
    rng = random.Random(seed)
    found = []
    for sku, place in itertools.product(SKUS, PLACES):
        if rng.random() < 0.8:
            one = level(sku, place, 1, on_hand=rng.randrange(3))
            one.low, one.backordered = rng.random() < 0.4, rng.randrange(2)
            found.append(one)
    rng.shuffle(found)
    return found


LEVELS: list[tuple[pb.LevelFilter, Callable[[StockLevel], bool]]] = [
    (pb.LevelFilter(), lambda _: True),
    (pb.LevelFilter(sku="S07"), lambda one: one.sku == "S07"),
    (pb.LevelFilter(sku="S07", low=True), lambda one: one.sku == "S07" and one.low),
    (pb.LevelFilter(sku="S99"), lambda _: False),
    (
        pb.LevelFilter(sku="S07", location_ids=["W", "W-2"]),
        lambda one: one.sku == "S07" and one.location_id in {"W", "W-2"},
    ),
    (pb.LevelFilter(location_ids=["W-1"]), lambda one: one.location_id == "W-1"),
    (
        pb.LevelFilter(location_ids=["W-2", "W", "nowhere", "W"]),
        lambda one: one.location_id in {"W", "W-2"},
    ),
    (pb.LevelFilter(low=True), lambda one: one.low),
    (pb.LevelFilter(low=True, location_ids=["W-1"]), lambda one: one.low and one.location_id == "W-1"),
    (
        pb.LevelFilter(low=True, location_ids=["W-1", "W"]),
        lambda one: one.low and one.location_id in {"W-1", "W"},
    ),
    (pb.LevelFilter(backordered=True), lambda one: one.backordered > 0),
    (
        pb.LevelFilter(backordered=True, low=True, in_stock=True),
        lambda one: one.backordered > 0 and one.low and one.on_hand > 0,
    ),
    (pb.LevelFilter(in_stock=True), lambda one: one.on_hand > 0),
]


async def pages(queries: Queries, request: pb.ListStockLevelsRequest) -> list[list[StockLevel]]:
    """Follow the tokens to the end."""
    found = []
    for _ in range(1000):
        answer = await queries.stock.ListStockLevels(request, timeout=5)
        found.append(list(answer.levels))
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token
    raise AssertionError("the pages do not end")


def by_sku(one: StockLevel) -> tuple[str, str]:
    """Return a level's place in the one order."""
    return one.sku, one.location_id


def by_location(one: StockLevel) -> tuple[str, str]:
    """Return a level's place in the other order."""
    return one.location_id, one.sku


@pytest.mark.parametrize(("wanted", "matches"), LEVELS, ids=[str(wanted) for wanted, _ in LEVELS])
async def test_a_list_of_levels_is_what_matches_in_order(
    queries: Queries, fill: Fill, wanted: pb.LevelFilter, matches: Callable[[StockLevel], bool]
) -> None:
    levels = made()
    await fill(Changes(levels, [item(sku, 1) for sku in SKUS]))
    matching = [one for one in levels if matches(one)]
    for size, order_by in itertools.product((0, 7, 1000), pb.LevelOrder.values()):
        request = pb.ListStockLevelsRequest(filter=wanted, order_by=order_by, page_size=size)
        found = await pages(queries, request)
        matching.sort(key=by_sku if order_by == pb.LEVEL_ORDER_SKU else by_location)
        assert [one for page in found for one in page] == matching
        assert all(len(page) == (size or 100) for page in found[:-1])


async def test_items_without_levels_and_with_many_are_walked_by_sku(queries: Queries, fill: Fill) -> None:
    many = [level("S50", f"W{number:04}", 1) for number in range(paging.MAX_SCANNED)]
    last = level("S98", "W", 1)
    skus = [f"S{number}" for number in range(10, 99)]
    await fill(Changes([*many, last], [item(sku, 1) for sku in skus]))
    request = pb.ListStockLevelsRequest(order_by=pb.LEVEL_ORDER_SKU, page_size=1000)
    found = await pages(queries, request)
    assert [one for page in found for one in page] == [*many, last]


async def test_items_at_the_edge_of_a_step_are_neither_left_out_nor_repeated(
    queries: Queries, fill: Fill
) -> None:
    skus = [f"S{number:03}" for number in range(3 * lists.ITEMS_AT_ONCE + 1)]
    levels = [level(sku, place, 1) for sku in skus for place in ("W", "W-1")]
    await fill(Changes(levels, [item(sku, 1) for sku in skus]))
    for size in (1, 2, 3, 99, 100, 101):
        request = pb.ListStockLevelsRequest(order_by=pb.LEVEL_ORDER_SKU, page_size=size)
        found = await pages(queries, request)
        assert [one for page in found for one in page] == levels


async def test_a_level_that_is_low_no_more_leaves_the_list_and_disturbs_no_other(
    queries: Queries, fill: Fill
) -> None:
    levels = [level(f"S{number:02}", "W", 1) for number in range(30)]
    for one in levels:
        one.low = True
    await fill(Changes(levels))
    request = pb.ListStockLevelsRequest(filter=pb.LevelFilter(low=True), page_size=10)
    first = await queries.stock.ListStockLevels(request, timeout=5)
    filled = [level("S05", "W", 2), level("S15", "W", 2)]
    await fill(Changes(filled))
    request.page_token = first.next_page_token
    rest = await pages(queries, request)
    assert list(first.levels) == levels[:10]
    assert [one.sku for page in rest for one in page] == [f"S{n:02}" for n in range(10, 30) if n != 15]


def made_lots(seed: int = 1) -> list[Lot]:
    """Return lots of items at some of the places, some without units."""
    rng = random.Random(seed)
    found = []
    for sku, place, lot_id in itertools.product(SKUS[:12], PLACES, ["L", "L1"]):
        one = lot(sku, place, lot_id, 1, rng.choice(DAYS))
        one.on_hand = rng.choice([0, 3, 7])
        found.append(one)
    rng.shuffle(found)
    return found


def day(one: Lot) -> tuple[int, int, int]:
    """Return the expiry date, one beyond all others for lots that keep."""
    date = one.expiry_date
    return (date.year, date.month, date.day) if one.HasField("expiry_date") else (9999, 99, 99)


LOTS: list[tuple[pb.LotFilter, Callable[[Lot], bool]]] = [
    (pb.LotFilter(), lambda _: True),
    (pb.LotFilter(sku="S03"), lambda one: one.sku == "S03"),
    (pb.LotFilter(location_id="W-1"), lambda one: one.location_id == "W-1"),
    (
        pb.LotFilter(sku="S03", location_id="W-1"),
        lambda one: (one.sku, one.location_id) == ("S03", "W-1"),
    ),
    (pb.LotFilter(expires_before=DAYS[2]), lambda one: day(one) < (2026, 12, 2)),
    (pb.LotFilter(expires_from=DAYS[2]), lambda one: (2026, 12, 2) <= day(one) < (9999, 99, 99)),
    (
        pb.LotFilter(expires_from=DAYS[2], expires_before=DAYS[3], location_id="W"),
        lambda one: day(one) == (2026, 12, 2) and one.location_id == "W",
    ),
    (
        pb.LotFilter(expires_before=DAYS[3], sku="S01"),
        lambda one: day(one) < (2027, 1, 1) and one.sku == "S01",
    ),
    (pb.LotFilter(expires_from=DAYS[3], expires_before=DAYS[1]), lambda _: False),
]


@pytest.mark.parametrize(("wanted", "matches"), LOTS, ids=[str(wanted) for wanted, _ in LOTS])
async def test_a_list_of_lots_is_what_matches_by_expiry(
    queries: Queries, fill: Fill, wanted: pb.LotFilter, matches: Callable[[Lot], bool]
) -> None:
    lots = made_lots()
    await fill(Changes(lots=lots))
    expected = sorted(
        (one for one in lots if one.on_hand and matches(one)),
        key=lambda one: (day(one), one.sku, one.location_id, one.lot_id),
    )
    for size in (0, 7, 1000):
        request = pb.ListLotsRequest(filter=wanted, page_size=size)
        found: list[Lot] = []
        while True:
            answer = await queries.stock.ListLots(request, timeout=5)
            found += answer.lots
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token
        assert found == expected


async def test_a_lot_is_listed_while_it_has_units(queries: Queries, fill: Fill) -> None:
    for version, units in enumerate((7, 0, 2), start=1):
        one = lot("S1", "W", "L", version, DAYS[1])
        one.on_hand = units
        await fill(Changes(lots=[one]))
        answer = await queries.stock.ListLots(pb.ListLotsRequest(), timeout=5)
        assert list(answer.lots) == ([one] if units else [])
