"""Levels and availability, as the view has them."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.type.v1.item_pb2 import ITEM_KIND_BUNDLE, ITEM_KIND_DIGITAL, ITEM_KIND_PHYSICAL
from inventory.type.v1.stock_pb2 import LevelName
from query_svc import page_tokens
from query_svc.read_model import Changes
from tests.redis_server import RedisServer
from tests.stock import item, level
from tests.unit.query_svc.conftest import Fill, Queries, refusal


async def test_a_level_is_answered_as_it_is(queries: Queries, fill: Fill) -> None:
    await fill(Changes([level("MUG-1", "WH-1", 3, 40)]))
    answer = await queries.stock.GetStockLevel(
        pb.GetStockLevelRequest(sku="MUG-1", location_id="WH-1"), timeout=5
    )
    assert answer == pb.GetStockLevelResponse(level=level("MUG-1", "WH-1", 3, 40))


@pytest.mark.parametrize(("sku", "location_id"), [("MUG-1", "WH-2"), ("MUG-2", "WH-1")])
async def test_a_level_that_is_not_there_is_not_found(
    queries: Queries, fill: Fill, sku: str, location_id: str
) -> None:
    await fill(Changes([level("MUG-1", "WH-1", 1)]))
    request = pb.GetStockLevelRequest(sku=sku, location_id=location_id)
    info, code = await refusal(queries.stock.GetStockLevel(request, timeout=5))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "LEVEL_NOT_FOUND")
    assert dict(info.metadata) == {"sku": sku, "location_id": location_id}


async def test_a_batch_keeps_the_order_of_the_request_and_names_what_is_missing(
    queries: Queries, fill: Fill
) -> None:
    await fill(Changes([level("A", "W", 1), level("B", "W", 2), level("C", "W", 3)]))
    names = [LevelName(sku=sku, location_id="W") for sku in ("C", "X", "A", "Y", "C")]
    answer = await queries.stock.BatchGetStockLevels(pb.BatchGetStockLevelsRequest(names=names), timeout=5)
    assert [found.sku for found in answer.levels] == ["C", "A", "C"]
    assert list(answer.missing) == [names[1], names[3]]


async def test_500_levels_in_one_call(queries: Queries, fill: Fill) -> None:
    levels = [level(f"S{number}", "W", 1) for number in range(500)]
    await fill(Changes(levels))
    names = [LevelName(sku=one.sku, location_id="W") for one in levels]
    answer = await queries.stock.BatchGetStockLevels(pb.BatchGetStockLevelsRequest(names=names), timeout=5)
    assert list(answer.levels) == levels
    assert not answer.missing


async def test_availability_is_the_sum_over_all_locations(queries: Queries, fill: Fill) -> None:
    levels = [level("MUG-1", "WH-2", 1, 40), level("MUG-1", "WH-1", 1, 9), level("MUG-2", "WH-1", 1, 100)]
    levels[0].backordered, levels[0].in_transit = 3, 5
    levels[1].backordered, levels[1].in_transit = 10, 20
    await fill(Changes(levels, [item("MUG-1", 1)]))
    answer = await queries.stock.GetAvailability(pb.GetAvailabilityRequest(sku="MUG-1"), timeout=5)
    assert answer == pb.GetAvailabilityResponse(
        sku="MUG-1",
        on_hand=49,
        reserved=10 + 2,
        available=30 + 7,
        sellable=25 + 2,
        backordered=13,
        in_transit=25,
        levels=[levels[1], levels[0]],
        kind=ITEM_KIND_PHYSICAL,
        counted=True,
    )


async def test_an_item_never_stocked_is_available_nowhere(queries: Queries, fill: Fill) -> None:
    await fill(Changes([], [item("MUG-1", 1)]))
    answer = await queries.stock.GetAvailability(pb.GetAvailabilityRequest(sku="MUG-1"), timeout=5)
    assert answer == pb.GetAvailabilityResponse(sku="MUG-1", kind=ITEM_KIND_PHYSICAL, counted=True)


async def test_an_item_that_is_not_counted_says_so(queries: Queries, fill: Fill) -> None:
    ebook = item("BOOK-1", 1)
    ebook.kind, ebook.counted = ITEM_KIND_DIGITAL, False
    await fill(Changes([], [ebook]))
    answer = await queries.stock.GetAvailability(pb.GetAvailabilityRequest(sku="BOOK-1"), timeout=5)
    assert answer == pb.GetAvailabilityResponse(sku="BOOK-1", kind=ITEM_KIND_DIGITAL)


async def test_the_availability_of_a_bundle_is_what_its_components_make(queries: Queries, fill: Fill) -> None:
    """Safety stock is held back; a location counts if it has enough of every component for one."""
    bundle = item("SET-1", 1)
    bundle.kind, bundle.counted = ITEM_KIND_BUNDLE, False
    bundle.components.add(sku="MUG-1", quantity=4)
    bundle.components.add(sku="TRAY-1", quantity=1)
    levels = []
    for sku, place, available, sellable in (
        ("MUG-1", "WH-1", 11, 8),
        ("MUG-1", "WH-2", 9, 2),
        ("MUG-1", "WH-3", 3, 3),
        ("MUG-1", "WH-4", 40, 40),
        ("TRAY-1", "WH-1", 3, 1),
        ("TRAY-1", "WH-2", 1, 1),
        ("TRAY-1", "WH-3", 9, 9),
    ):
        one = level(sku, place, 1)
        one.available, one.sellable = available, sellable
        levels.append(one)
    await fill(Changes(levels, [bundle]))
    answer = await queries.stock.GetAvailability(pb.GetAvailabilityRequest(sku="SET-1"), timeout=5)
    assert answer == pb.GetAvailabilityResponse(
        sku="SET-1",
        available=13,
        sellable=11,
        kind=ITEM_KIND_BUNDLE,
        components=[
            pb.ComponentAvailability(sku="MUG-1", quantity=4, available=63, sellable=53),
            pb.ComponentAvailability(sku="TRAY-1", quantity=1, available=13, sellable=11),
        ],
        locations=[
            pb.BundleAvailability(location_id="WH-1", available=2, sellable=1),
            pb.BundleAvailability(location_id="WH-2", available=1, sellable=0),
        ],
    )


async def test_a_bundle_whose_component_is_nowhere_is_not_available(queries: Queries, fill: Fill) -> None:
    bundle = item("SET-1", 1)
    bundle.kind = ITEM_KIND_BUNDLE
    bundle.components.add(sku="MUG-1", quantity=1)
    bundle.components.add(sku="TRAY-1", quantity=1)
    await fill(Changes([level("MUG-1", "WH-1", 1, 40)], [bundle]))
    answer = await queries.stock.GetAvailability(pb.GetAvailabilityRequest(sku="SET-1"), timeout=5)
    assert (answer.available, answer.sellable, list(answer.locations)) == (0, 0, [])


async def test_an_unknown_item_is_not_found(queries: Queries) -> None:
    info, code = await refusal(
        queries.stock.GetAvailability(pb.GetAvailabilityRequest(sku="MUG-1"), timeout=5)
    )
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "ITEM_NOT_FOUND")
    assert dict(info.metadata) == {"sku": "MUG-1"}


async def test_without_the_database_history_alone_is_unavailable(queries: Queries, fill: Fill) -> None:
    await fill(Changes([level("MUG-1", "WH-1", 1)]))
    started = asyncio.get_running_loop().time()
    info, code = await refusal(
        queries.stock.GetStockHistory(pb.GetStockHistoryRequest(sku="MUG-1"), timeout=5)
    )
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert dict(info.metadata) == {"dependency": "database"}
    assert asyncio.get_running_loop().time() - started < 3  # not the whole deadline
    await queries.stock.GetStockLevel(pb.GetStockLevelRequest(sku="MUG-1", location_id="WH-1"), timeout=5)


@pytest.mark.parametrize("place", [(2**63 - 1, "WH-1", 1), (-1, "WH-1", 1), (1, "WH\0", 1)])
async def test_a_token_of_an_impossible_place_is_refused(
    queries: Queries, place: tuple[int, str, int]
) -> None:
    request = pb.GetStockHistoryRequest(sku="MUG-1")
    request.page_token = page_tokens.encode(place, request)
    info, _ = await refusal(queries.stock.GetStockHistory(request, timeout=5))
    assert info.reason == "INVALID_PAGE_TOKEN"


async def test_without_redis_levels_are_unavailable_until_it_is_back(
    queries: Queries, redis: RedisServer, fill: Fill
) -> None:
    request = pb.GetStockLevelRequest(sku="MUG-1", location_id="WH-1")
    redis.kill()
    try:
        info, code = await refusal(queries.stock.GetStockLevel(request, timeout=5))
    finally:
        redis.start()
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert dict(info.metadata) == {"dependency": "database"}  # the last that was asked
    info, _ = await refusal(queries.stock.GetStockLevel(request, timeout=5))
    assert info.reason == "DEPENDENCY_UNAVAILABLE"  # what it has lost it cannot deny
    await fill(Changes([level("MUG-1", "WH-1", 1)]))
    async with asyncio.timeout(10):
        while True:
            try:
                assert (await queries.stock.GetStockLevel(request, timeout=5)).level.version == 1
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - until it is seen again
                await asyncio.sleep(0.05)
            else:
                break
