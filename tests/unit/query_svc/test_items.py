"""Items listed: filtered, in order, page by page."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import grpc
import pytest

from inventory.query.v1 import catalog_query_service_pb2 as pb
from inventory.type.v1 import item_pb2
from inventory.type.v1.item_pb2 import Item, ItemKind, ItemState
from query_svc.read_model import Changes
from query_svc.read_model.indexes import NAME_CHARACTERS
from tests.stock import item, location
from tests.unit.query_svc.conftest import Fill, Queries, refusal

NAMES = ["Mug", "mug", "Ärmel", "Ж" * 200, "Ж" * 64 + "a", "Cup"]
CATEGORIES = ["home", "home/kitchen", "home/kitchen/mugs", "homes", "office/kitchen"]


def made(count: int = 150, seed: int = 1) -> list[Item]:
    """Return items that differ in all that can be asked for."""
    rng = random.Random(seed)
    items = []
    for number in range(count):
        one = item(f"S{number:03}", 1, rng.choice(NAMES))
        one.categories[:] = rng.sample(CATEGORIES, rng.randrange(3))
        one.tags[:] = rng.sample(["new", "newer", "blue"], rng.randrange(3))
        one.barcodes[:] = rng.sample(["4006381333931", "96385074"], rng.randrange(3))
        one.parent_sku = rng.choice(["", "S000", "S001"]) if number > 1 else ""
        one.state = rng.choice(ItemState.values()[1:])
        one.kind = rng.choice(ItemKind.values()[1:])
        items.append(one)
    rng.shuffle(items)
    return items


FILTERS: list[tuple[pb.ItemFilter, Callable[[Item], bool]]] = [
    (pb.ItemFilter(), lambda _: True),
    (
        pb.ItemFilter(category="home"),
        lambda one: bool({"home", "home/kitchen", "home/kitchen/mugs"} & set(one.categories)),
    ),
    (
        pb.ItemFilter(category="home/kitchen"),
        lambda one: bool({"home/kitchen", "home/kitchen/mugs"} & set(one.categories)),
    ),
    (pb.ItemFilter(category="kitchen"), lambda _: False),
    (pb.ItemFilter(tag="new"), lambda one: "new" in one.tags),
    (pb.ItemFilter(barcode="96385074"), lambda one: "96385074" in one.barcodes),
    (pb.ItemFilter(parent_sku="S001"), lambda one: one.parent_sku == "S001"),
    (
        pb.ItemFilter(states=[item_pb2.ITEM_STATE_ARCHIVED]),
        lambda one: one.state == item_pb2.ITEM_STATE_ARCHIVED,
    ),
    (pb.ItemFilter(states=[item_pb2.ITEM_STATE_ACTIVE]), lambda one: one.state == item_pb2.ITEM_STATE_ACTIVE),
    (pb.ItemFilter(kinds=[item_pb2.ITEM_KIND_BUNDLE]), lambda one: one.kind == item_pb2.ITEM_KIND_BUNDLE),
    (
        pb.ItemFilter(category="home", tag="blue", states=[item_pb2.ITEM_STATE_ACTIVE]),
        lambda one: (
            any(category in one.categories for category in CATEGORIES[:3])
            and "blue" in one.tags
            and one.state == item_pb2.ITEM_STATE_ACTIVE
        ),
    ),
]


async def pages(queries: Queries, request: pb.ListItemsRequest) -> list[list[Item]]:
    """Follow the tokens to the end."""
    found = []
    for _ in range(1000):
        answer = await queries.catalog.ListItems(request, timeout=5)
        found.append(list(answer.items))
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize(("wanted", "matches"), FILTERS, ids=[str(wanted) for wanted, _ in FILTERS])
async def test_a_list_is_what_matches_in_order(
    queries: Queries, fill: Fill, wanted: pb.ItemFilter, matches: Callable[[Item], bool]
) -> None:
    items = made()
    await fill(Changes(items=items))
    matching = sorted((one for one in items if matches(one)), key=lambda one: one.sku)
    by_name = sorted(matching, key=lambda one: (one.name[:NAME_CHARACTERS], one.sku))
    for size, order_by in itertools.product((0, 7, 1000), pb.ItemOrder.values()):
        found = await pages(queries, pb.ListItemsRequest(filter=wanted, order_by=order_by, page_size=size))
        expected = by_name if order_by == pb.ITEM_ORDER_NAME else matching
        assert [one for page in found for one in page] == expected
        assert all(len(page) == (size or 100) for page in found[:-1])


async def test_an_item_that_changes_stands_where_it_belongs_alone(queries: Queries, fill: Fill) -> None:
    before, after = item("S1", 1, "Old"), item("S1", 2, "New")
    before.categories[:], after.categories[:] = ["home/kitchen"], ["home"]
    before.tags[:], after.tags[:] = ["old"], ["new"]
    after.state = item_pb2.ITEM_STATE_ARCHIVED
    await fill(Changes(items=[before]))
    await fill(Changes(items=[after]))

    async def listed(wanted: pb.ItemFilter) -> list[str]:
        answer = await queries.catalog.ListItems(pb.ListItemsRequest(filter=wanted), timeout=5)
        return [one.name for one in answer.items]

    assert await listed(pb.ItemFilter(category="home/kitchen")) == []
    assert await listed(pb.ItemFilter(category="home")) == ["New"]
    assert await listed(pb.ItemFilter(tag="old")) == []
    assert await listed(pb.ItemFilter(tag="new")) == ["New"]
    assert await listed(pb.ItemFilter(states=[item_pb2.ITEM_STATE_ARCHIVED])) == ["New"]


async def test_a_location_is_answered_as_it_is(queries: Queries, fill: Fill) -> None:
    await fill(Changes(locations=[location("WH-1", 2)]))
    answer = await queries.catalog.GetLocation(pb.GetLocationRequest(location_id="WH-1"), timeout=5)
    assert answer.location == location("WH-1", 2)


async def test_an_unknown_location_is_not_found(queries: Queries) -> None:
    info, code = await refusal(
        queries.catalog.GetLocation(pb.GetLocationRequest(location_id="WH-1"), timeout=5)
    )
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "LOCATION_NOT_FOUND")
    assert dict(info.metadata) == {"location_id": "WH-1"}
