"""Items, and locations filtered, in order, page by page."""

from __future__ import annotations

import random

import grpc
import pytest

from inventory.query.v1 import catalog_query_service_pb2 as pb
from inventory.type.v1 import location_pb2
from inventory.type.v1.location_pb2 import Location
from query_svc.read_model import Changes
from tests.stock import item, location
from tests.unit.query_svc.conftest import Fill, Queries, refusal

ORDERS = [
    pb.LOCATION_ORDER_UNSPECIFIED,
    pb.LOCATION_ORDER_LOCATION_ID,
    pb.LOCATION_ORDER_NAME,
    pb.LOCATION_ORDER_PRIORITY,
]


def many(count: int, seed: int = 1) -> list[Location]:
    """Return locations that share names and priorities, in no order."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        one = location(f"L{number:03}", 1, rng.choice(["North", "north", "Süd", "Østre", "East"]))
        one.priority = rng.randrange(4)
        one.kind = rng.choice([location_pb2.LOCATION_KIND_STORE, location_pb2.LOCATION_KIND_WAREHOUSE])
        found.append(one)
    rng.shuffle(found)
    return found


def in_order(locations: list[Location], order: pb.LocationOrder.ValueType) -> list[Location]:
    """Sort them as the contract says."""
    if order == pb.LOCATION_ORDER_NAME:
        return sorted(locations, key=lambda one: (one.name, one.location_id))
    if order == pb.LOCATION_ORDER_PRIORITY:
        return sorted(locations, key=lambda one: (one.priority, one.location_id))
    return sorted(locations, key=lambda one: one.location_id)


async def pages(queries: Queries, request: pb.ListLocationsRequest) -> list[list[Location]]:
    """Follow the tokens to the end."""
    found = []
    while True:
        answer = await queries.catalog.ListLocations(request, timeout=5)
        found.append(list(answer.locations))
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def test_an_item_is_answered_as_it_is(queries: Queries, fill: Fill) -> None:
    await fill(Changes([], [item("MUG-1", 2)]))
    answer = await queries.catalog.GetItem(pb.GetItemRequest(sku="MUG-1"), timeout=5)
    assert answer == pb.GetItemResponse(item=item("MUG-1", 2))


async def test_an_unknown_item_is_not_found(queries: Queries) -> None:
    info, code = await refusal(queries.catalog.GetItem(pb.GetItemRequest(sku="MUG-1"), timeout=5))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "ITEM_NOT_FOUND")
    assert dict(info.metadata) == {"sku": "MUG-1"}


async def test_no_locations_are_one_empty_page(queries: Queries) -> None:
    assert await pages(queries, pb.ListLocationsRequest()) == [[]]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 7, 30, 31, 1000])
async def test_pages_hold_every_location_once_in_order(
    queries: Queries, fill: Fill, order: pb.LocationOrder.ValueType, size: int
) -> None:
    locations = many(30)
    await fill(Changes([], [], locations))
    found = await pages(queries, pb.ListLocationsRequest(page_size=size, order_by=order))
    assert [one for page in found for one in page] == in_order(locations, order)
    assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
    assert found[-1]


async def test_a_page_is_of_100_unless_asked_otherwise(queries: Queries, fill: Fill) -> None:
    await fill(Changes([], [], many(101)))
    assert [len(page) for page in await pages(queries, pb.ListLocationsRequest())] == [100, 1]


@pytest.mark.parametrize("order", ORDERS)
async def test_locations_that_come_and_change_meanwhile_move_no_other(
    queries: Queries, fill: Fill, order: pb.LocationOrder.ValueType
) -> None:
    """Each that exists throughout and keeps its place is listed exactly once."""
    locations = many(40)
    await fill(Changes([], [], locations))
    request = pb.ListLocationsRequest(page_size=5, order_by=order)
    found: list[str] = []
    changed = set()
    rng = random.Random(2)
    for step in range(100):
        answer = await queries.catalog.ListLocations(request, timeout=5)
        found += [one.location_id for one in answer.locations]
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
        if step >= 8:  # then the list comes to its end
            continue
        # The last of the page, of all, the one the token speaks of.
        moved = location(answer.locations[-1].location_id, 2 + step, rng.choice(["AAA", "zzz"]))
        moved.priority = rng.randrange(4)
        changed.add(moved.location_id)
        await fill(Changes([], [], [moved, location(f"{rng.choice('AMZ')}-new-{step}", 1)]))
    known = {one.location_id for one in locations}
    kept = [one for one in found if one in known - changed]
    assert kept == [one.location_id for one in in_order(locations, order) if one.location_id not in changed]


async def test_a_filter_asks_for_all_it_names(queries: Queries, fill: Fill) -> None:
    locations = many(8)
    for number, one in enumerate(locations):
        one.ships_online_orders = bool(number & 1)
        one.address.region_code = "GB" if number & 2 else "DE"
        closed = bool(number & 4)
        one.state = location_pb2.LOCATION_STATE_INACTIVE if closed else location_pb2.LOCATION_STATE_ACTIVE
        one.kind = location_pb2.LOCATION_KIND_STORE if number < 5 else location_pb2.LOCATION_KIND_DARK_STORE
    await fill(Changes([], [], locations))

    async def numbers(wanted: pb.LocationFilter) -> list[int]:
        (found,) = await pages(queries, pb.ListLocationsRequest(filter=wanted))
        return sorted(locations.index(one) for one in found)

    store, dark = location_pb2.LOCATION_KIND_STORE, location_pb2.LOCATION_KIND_DARK_STORE
    active, inactive = location_pb2.LOCATION_STATE_ACTIVE, location_pb2.LOCATION_STATE_INACTIVE
    assert await numbers(pb.LocationFilter()) == list(range(8))
    assert await numbers(pb.LocationFilter(kinds=[dark])) == [5, 6, 7]
    assert await numbers(pb.LocationFilter(kinds=[dark, store])) == list(range(8))
    assert await numbers(pb.LocationFilter(states=[inactive])) == [4, 5, 6, 7]
    assert await numbers(pb.LocationFilter(ships_online_orders=False)) == [0, 2, 4, 6]
    assert await numbers(pb.LocationFilter(region_code="GB")) == [2, 3, 6, 7]
    assert await numbers(pb.LocationFilter(region_code="FR")) == []
    every = pb.LocationFilter(kinds=[store], states=[active], ships_online_orders=True, region_code="GB")
    assert await numbers(every) == [3]


async def test_a_page_fits_into_a_message_whatever_its_locations_hold(queries: Queries, fill: Fill) -> None:
    locations = many(900)
    for one in locations:
        one.name = "名" * 200
        one.address.lines[:] = ["家" * 200] * 5
        one.address.locality = "街" * 100
    await fill(Changes([], [], locations))
    request = pb.ListLocationsRequest(page_size=1000, order_by=pb.LOCATION_ORDER_NAME)
    found = await pages(queries, request)
    assert len(found) > 1
    assert [one.location_id for page in found for one in page] == sorted(one.location_id for one in locations)


async def test_a_token_of_another_order_or_filter_is_refused(queries: Queries, fill: Fill) -> None:
    await fill(Changes([], [], many(3)))
    first = await queries.catalog.ListLocations(pb.ListLocationsRequest(page_size=1), timeout=5)
    others = [
        pb.ListLocationsRequest(order_by=pb.LOCATION_ORDER_PRIORITY, page_token=first.next_page_token),
        pb.ListLocationsRequest(filter=pb.LocationFilter(region_code="GB"), page_token=first.next_page_token),
    ]
    for other in others:
        info, code = await refusal(queries.catalog.ListLocations(other, timeout=5))
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
