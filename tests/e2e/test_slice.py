"""A change of stock goes the whole way, through Envoy, with the typed client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from client import (
    InsufficientStockError,
    InvalidFieldError,
    InventoryClient,
    ItemNotFoundError,
    RequestIdReusedError,
    VersionMismatchError,
    error_from_status,
)
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2_grpc import StockCommandServiceStub
from inventory.query.v1 import stock_query_service_pb2 as query
from inventory.query.v1.catalog_query_service_pb2 import GetItemRequest, ListLocationsRequest
from inventory.type.v1.item_pb2 import ITEM_STATE_ACTIVE
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE, LOCATION_KIND_WAREHOUSE, Location
from inventory.type.v1.stock_pb2 import (
    MOVEMENT_KIND_ADD,
    MOVEMENT_KIND_ADJUST,
    MOVEMENT_KIND_MOVE_IN,
    MOVEMENT_KIND_MOVE_OUT,
    MOVEMENT_KIND_REMOVE,
    MOVEMENT_REASON_COUNT,
    MOVEMENT_REASON_REBALANCE,
    MOVEMENT_REASON_RECEIPT,
    MOVEMENT_REASON_SALE,
    LevelName,
    StockLevel,
)
from tests.soon import soon
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


class Shop:
    """A client with an item and two places of its own."""

    def __init__(self, client: InventoryClient) -> None:
        name = uuid4().hex[:8]
        self.client = client
        self.sku, self.house, self.store = f"MUG-{name}", f"house-{name}", f"store-{name}"

    async def open(self) -> None:
        """Create the item and the places."""
        await self.client.create_item(
            CreateItemRequest(
                sku=self.sku, name="Mug", barcodes=["4006381333931"], metadata={"colour": "blue"}
            )
        )
        for place, kind in ((self.house, LOCATION_KIND_WAREHOUSE), (self.store, LOCATION_KIND_STORE)):
            await self.client.create_location(
                CreateLocationRequest(location_id=place, name=place, kind=kind, time_zone="Europe/Berlin")
            )

    def add(self, quantity: int, place: str = "") -> pb.AddStockRequest:
        """Return a receipt."""
        return pb.AddStockRequest(
            sku=self.sku,
            location_id=place or self.house,
            quantity=quantity,
            reason=MOVEMENT_REASON_RECEIPT,
            reference="PO-1",
        )

    def sell(self, quantity: int, request_id: str = "") -> pb.RemoveStockRequest:
        """Return a sale."""
        return pb.RemoveStockRequest(
            request_id=request_id,
            sku=self.sku,
            location_id=self.house,
            quantity=quantity,
            reason=MOVEMENT_REASON_SALE,
        )

    def move(self, quantity: int) -> pb.MoveStockRequest:
        """Return a move from the house to the store."""
        return pb.MoveStockRequest(
            sku=self.sku,
            source_location_id=self.house,
            destination_location_id=self.store,
            quantity=quantity,
            reason=MOVEMENT_REASON_REBALANCE,
        )

    def count(self, quantity: int, expected_version: int | None = None) -> pb.AdjustStockRequest:
        """Return a count at the store."""
        return pb.AdjustStockRequest(
            sku=self.sku,
            location_id=self.store,
            counted_quantity=quantity,
            reason=MOVEMENT_REASON_COUNT,
            expected_version=expected_version,
        )

    async def level(self, place: str = "") -> StockLevel:
        """Read a level."""
        answer = await self.client.get_stock_level(
            query.GetStockLevelRequest(sku=self.sku, location_id=place or self.house)
        )
        return answer.level


@pytest.fixture
async def shop(stack: RunningStack) -> AsyncIterator[Shop]:
    """Give an open shop."""
    async with stack.client("e2e/test") as client:
        shop = Shop(client)
        await shop.open()
        yield shop


async def test_a_change_of_every_kind_arrives_at_the_query_side(shop: Shop) -> None:
    client = shop.client
    added = await client.add_stock(shop.add(20))
    assert (added.level.on_hand, added.level.version) == (20, 1)
    moved = await client.move_stock(shop.move(8))
    assert (moved.source.on_hand, moved.destination.on_hand) == (12, 8)
    adjusted = await client.adjust_stock(shop.count(7, expected_version=1))
    assert (adjusted.level.on_hand, adjusted.level.version) == (7, 2)
    sold = await client.remove_stock(shop.sell(2))
    batch = await client.batch_stock(
        pb.BatchStockRequest(
            commands=[
                pb.StockCommand(remove=shop.sell(3)),
                pb.StockCommand(remove=shop.sell(50)),
                pb.StockCommand(add=shop.add(1, shop.store)),
            ]
        )
    )
    assert [result.WhichOneof("result") for result in batch.results] == ["removed", "error", "added"]
    assert isinstance(error_from_status(batch.results[1].error), InsufficientStockError)
    tokens = [answer.consistency_token for answer in (added, moved, adjusted, sold, batch)]
    assert all(tokens)
    assert len(set(tokens)) == len(tokens)

    house = await soon(shop.level, lambda level: level.version == 4)
    assert house == batch.results[0].removed.level
    assert (house.on_hand, house.available, house.sellable) == (7, 7, 7)
    assert await soon(lambda: shop.level(shop.store), lambda level: level.version == 3) == (
        batch.results[2].added.level
    )

    availability = await client.get_availability(query.GetAvailabilityRequest(sku=shop.sku))
    assert (availability.on_hand, availability.available) == (15, 15)
    assert [level.location_id for level in availability.levels] == [shop.house, shop.store]

    names = [LevelName(sku=shop.sku, location_id=place) for place in (shop.store, "nowhere", shop.house)]
    several = await client.batch_get_stock_levels(query.BatchGetStockLevelsRequest(names=names))
    assert [level.location_id for level in several.levels] == [shop.store, shop.house]
    assert list(several.missing) == [names[1]]

    history = await client.get_stock_history(
        query.GetStockHistoryRequest(sku=shop.sku, order_by=query.HISTORY_ORDER_OLDEST_FIRST)
    )
    entries = [
        (one.location_id, one.kind, one.delta.on_hand, one.result.on_hand) for one in history.movements
    ]
    # The two halves of a move have one time: they stand by their locations.
    assert entries == [
        (shop.house, MOVEMENT_KIND_ADD, 20, 20),
        (shop.house, MOVEMENT_KIND_MOVE_OUT, -8, 12),
        (shop.store, MOVEMENT_KIND_MOVE_IN, 8, 8),
        (shop.store, MOVEMENT_KIND_ADJUST, -1, 7),
        (shop.house, MOVEMENT_KIND_REMOVE, -2, 10),
        (shop.house, MOVEMENT_KIND_REMOVE, -3, 7),
        (shop.store, MOVEMENT_KIND_ADD, 1, 8),
    ]
    first = history.movements[0]
    assert (first.reason, first.reference) == (MOVEMENT_REASON_RECEIPT, "PO-1")
    assert (first.actor, first.request_id) == ("e2e/test", added.request_id)
    assert len({one.transaction_id for one in history.movements}) == 5


async def test_what_is_created_arrives_as_it_was_created(shop: Shop) -> None:
    shown = await soon(
        lambda: shop.client.get_item(GetItemRequest(sku=shop.sku)), lambda answer: answer.HasField("item")
    )
    item = shown.item
    assert (item.name, item.state, item.version) == ("Mug", ITEM_STATE_ACTIVE, 1)
    assert (list(item.barcodes), dict(item.metadata)) == (["4006381333931"], {"colour": "blue"})

    async def places() -> list[Location]:
        found: list[Location] = []
        token = ""
        while True:
            page = await shop.client.list_locations(ListLocationsRequest(page_size=50, page_token=token))
            found += [place for place in page.locations if place.location_id in {shop.house, shop.store}]
            token = page.next_page_token
            if not token:
                return found

    house, store = await soon(places, lambda found: len(found) == 2)
    assert (house.location_id, house.kind, house.time_zone) == (
        shop.house,
        LOCATION_KIND_WAREHOUSE,
        "Europe/Berlin",
    )
    assert (store.location_id, store.kind) == (shop.store, LOCATION_KIND_STORE)


async def test_an_oversell_is_refused_with_its_figures_and_changes_nothing(
    shop: Shop, stack: RunningStack
) -> None:
    await shop.client.add_stock(shop.add(7))
    with pytest.raises(InsufficientStockError) as refused:
        await shop.client.remove_stock(shop.sell(12))
    assert refused.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.metadata == {
        "sku": shop.sku,
        "location_id": shop.house,
        "requested": "12",
        "available": "7",
    }
    # As it is on the wire, Envoy between: for those who have not our client.
    async with stack.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raw:
            await StockCommandServiceStub(channel).RemoveStock(
                shop.sell(12), timeout=5, metadata=stack.metadata()
            )
    packed = (raw.value.trailing_metadata() or {})["grpc-status-details-bin"]
    info, precondition = error_details_pb2.ErrorInfo(), error_details_pb2.PreconditionFailure()
    for detail in status_pb2.Status.FromString(packed).details:
        detail.Unpack(info)
        detail.Unpack(precondition)
    assert (info.reason, info.domain) == ("INSUFFICIENT_STOCK", "inventory")
    assert precondition.violations[0].type == "INSUFFICIENT_STOCK"
    assert shop.sku in precondition.violations[0].subject

    after = await shop.client.add_stock(shop.add(1))
    assert (after.level.on_hand, after.level.version) == (8, 2)


async def test_refusals_arrive_as_their_own_exceptions(shop: Shop) -> None:
    client = shop.client
    await client.add_stock(shop.add(5))
    with pytest.raises(InvalidFieldError) as invalid:
        await client.remove_stock(shop.sell(-1))
    assert [violation.field for violation in invalid.value.field_violations] == ["quantity"]
    with pytest.raises(VersionMismatchError) as changed:
        await client.adjust_stock(shop.count(1, expected_version=4))
    assert changed.value.metadata["version"] == "0"
    stranger = shop.add(1)
    stranger.sku = "NO-SUCH-ITEM"
    with pytest.raises(ItemNotFoundError):
        await client.add_stock(stranger)
    with pytest.raises(InsufficientStockError) as atomic:
        await client.batch_stock(
            pb.BatchStockRequest(
                atomic=True,
                commands=[pb.StockCommand(remove=shop.sell(4)), pb.StockCommand(remove=shop.sell(2))],
            )
        )
    assert atomic.value.metadata["command_index"] == "1"
    assert (await client.add_stock(shop.add(1))).level.on_hand == 6


async def test_a_repeat_gets_the_first_answer_and_another_body_is_refused(shop: Shop) -> None:
    await shop.client.add_stock(shop.add(10))
    request_id = f"sale-{shop.sku}"
    first = await shop.client.remove_stock(shop.sell(3, request_id))
    await shop.client.remove_stock(shop.sell(1))
    assert await shop.client.remove_stock(shop.sell(3, request_id)) == first
    with pytest.raises(RequestIdReusedError):
        await shop.client.remove_stock(shop.sell(4, request_id))
    assert (await soon(shop.level, lambda level: level.version == 3)).on_hand == 6
