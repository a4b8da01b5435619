"""What commands of every service did is found by the queries, through Envoy, with the typed client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from google.type.date_pb2 import Date

from client import InventoryClient, LevelNotFoundError
from inventory.command.v1.item_command_service_pb2 import ArchiveItemRequest, CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.order_command_service_pb2 import FulfillOrderRequest, PlaceLine, PlaceOrderRequest
from inventory.command.v1.reservation_command_service_pb2 import (
    CancelReservationRequest,
    ReserveLine,
    ReserveStockRequest,
)
from inventory.command.v1.stock_command_service_pb2 import (
    AddStockRequest,
    RemoveStockRequest,
    SetStockPolicyRequest,
)
from inventory.command.v1.transfer_command_service_pb2 import (
    DispatchLine,
    DispatchTransferRequest,
    ReceiveTransferRequest,
)
from inventory.query.v1 import catalog_query_service_pb2 as catalog
from inventory.query.v1 import order_query_service_pb2 as orders
from inventory.query.v1 import stock_query_service_pb2 as stock
from inventory.query.v1.time_range_pb2 import TimeRange
from inventory.type.v1.item_pb2 import ITEM_KIND_BUNDLE, ITEM_STATE_ARCHIVED, BundleComponent
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE, LOCATION_KIND_WAREHOUSE
from inventory.type.v1.lot_pb2 import LotReceipt
from inventory.type.v1.order_pb2 import ORDER_STATE_FULFILLED, ORDER_STATE_OPEN
from inventory.type.v1.reservation_pb2 import RESERVATION_STATE_CANCELLED, RESERVATION_STATE_PENDING
from inventory.type.v1.stock_pb2 import (
    MOVEMENT_KIND_ADD,
    MOVEMENT_REASON_RECEIPT,
    MOVEMENT_REASON_SALE,
)
from inventory.type.v1.transfer_pb2 import TRANSFER_STATE_IN_TRANSIT, TRANSFER_STATE_RECEIVED
from tests.soon import soon
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


@dataclass(frozen=True)
class Shop:
    """A client with things of its own: an item in plenty, one kept by lots, a bundle of both."""

    client: InventoryClient
    name: str

    @property
    def mug(self) -> str:
        """The item in plenty."""
        return f"MUG-{self.name}"

    @property
    def tea(self) -> str:
        """The item kept by lots."""
        return f"TEA-{self.name}"

    @property
    def bundle(self) -> str:
        """Two mugs and a tea."""
        return f"SET-{self.name}"

    @property
    def house(self) -> str:
        """Where the stock is."""
        return f"house-{self.name}"

    @property
    def store(self) -> str:
        """Where nothing is yet."""
        return f"store-{self.name}"

    async def open(self) -> None:
        """Create it all: ten mugs, and three teas in each of two lots."""
        client = self.client
        category = f"home/{self.name}"
        for place, kind in ((self.house, LOCATION_KIND_WAREHOUSE), (self.store, LOCATION_KIND_STORE)):
            await client.create_location(
                CreateLocationRequest(location_id=place, name=place, kind=kind, time_zone="UTC")
            )
        await client.create_item(CreateItemRequest(sku=self.mug, name="Mug", categories=[category]))
        await client.create_item(
            CreateItemRequest(sku=self.tea, name="Tea", categories=[f"{category}/tea"], lot_tracked=True)
        )
        parts = [BundleComponent(sku=self.mug, quantity=2), BundleComponent(sku=self.tea, quantity=1)]
        await client.create_item(
            CreateItemRequest(sku=self.bundle, name="Set", kind=ITEM_KIND_BUNDLE, components=parts)
        )
        await client.add_stock(self.receipt(self.mug, 10))
        for lot_id, year in (("L-1", 2099), ("L-2", 2098)):
            receipt = self.receipt(self.tea, 3)
            receipt.lot.CopyFrom(LotReceipt(lot_id=lot_id, expiry_date=Date(year=year, month=1, day=31)))
            await client.add_stock(receipt)

    def receipt(self, sku: str, quantity: int) -> AddStockRequest:
        """Return a receipt at the house."""
        return AddStockRequest(
            sku=sku,
            location_id=self.house,
            quantity=quantity,
            reason=MOVEMENT_REASON_RECEIPT,
            reference=f"po-{self.name}",
        )


@pytest.fixture
async def shop(stack: RunningStack) -> AsyncIterator[Shop]:
    """Give an open shop."""
    async with stack.client("e2e/queries") as client:
        shop = Shop(client, uuid4().hex[:8])
        await shop.open()
        yield shop


async def test_levels_lots_and_bundles_are_found(shop: Shop) -> None:
    client = shop.client
    here = stock.ListStockLevelsRequest(filter=stock.LevelFilter(location_ids=[shop.house]))
    listed = await soon(lambda: client.list_stock_levels(here), lambda answer: len(answer.levels) == 2)
    assert [(one.sku, one.on_hand) for one in listed.levels] == [(shop.mug, 10), (shop.tea, 6)]
    lots = await soon(
        lambda: client.list_lots(stock.ListLotsRequest(filter=stock.LotFilter(sku=shop.tea))),
        lambda answer: len(answer.lots) == 2,
    )
    assert [(one.lot_id, one.on_hand) for one in lots.lots] == [("L-2", 3), ("L-1", 3)]
    there = await client.get_availability(stock.GetAvailabilityRequest(sku=shop.bundle))
    assert (there.kind, there.available, there.sellable) == (ITEM_KIND_BUNDLE, 5, 5)
    assert [(one.location_id, one.sellable) for one in there.locations] == [(shop.house, 5)]
    await client.set_stock_policy(
        SetStockPolicyRequest(sku=shop.mug, location_id=shop.house, reorder_point=20)
    )
    low = stock.ListStockLevelsRequest(filter=stock.LevelFilter(location_ids=[shop.house], low=True))
    answer = await soon(lambda: client.list_stock_levels(low), lambda answer: len(answer.levels) > 0)
    assert [one.sku for one in answer.levels] == [shop.mug]


async def test_the_catalogue_is_found(shop: Shop) -> None:
    client = shop.client
    wanted = catalog.ItemFilter(category=f"home/{shop.name}")
    listed = await soon(
        lambda: client.list_items(catalog.ListItemsRequest(filter=wanted)),
        lambda answer: len(answer.items) == 2,
    )
    assert [one.sku for one in listed.items] == [shop.mug, shop.tea]
    place = await client.get_location(catalog.GetLocationRequest(location_id=shop.store))
    assert place.location.kind == LOCATION_KIND_STORE
    await client.archive_item(ArchiveItemRequest(sku=shop.bundle))
    gone = catalog.GetItemRequest(sku=shop.bundle)
    await soon(lambda: client.get_item(gone), lambda answer: answer.item.state == ITEM_STATE_ARCHIVED)


async def test_reservations_orders_and_transfers_are_found(shop: Shop) -> None:
    client = shop.client
    held = await client.reserve_stock(
        ReserveStockRequest(
            lines=[ReserveLine(sku=shop.bundle, location_id=shop.house, quantity=1)],
            reference=f"cart-{shop.name}",
        )
    )
    pending = orders.ListReservationsRequest(
        filter=orders.ReservationFilter(sku=shop.tea, states=[RESERVATION_STATE_PENDING])
    )
    listed = await soon(lambda: client.list_reservations(pending), lambda answer: bool(answer.reservations))
    assert list(listed.reservations) == [held.reservation]
    name = held.reservation.reservation_id
    await client.cancel_reservation(CancelReservationRequest(reservation_id=name))
    await soon(
        lambda: client.get_reservation(orders.GetReservationRequest(reservation_id=name)),
        lambda answer: answer.reservation.state == RESERVATION_STATE_CANCELLED,
    )
    assert not (await client.list_reservations(pending)).reservations

    placed = await client.place_order(
        PlaceOrderRequest(
            lines=[PlaceLine(sku=shop.bundle, location_id=shop.house, quantity=2)],
            channel="web",
            reference=f"order-{shop.name}",
        )
    )
    by_reference = orders.ListOrdersRequest(filter=orders.OrderFilter(reference=f"order-{shop.name}"))
    found = await soon(lambda: client.list_orders(by_reference), lambda answer: len(answer.orders) == 1)
    assert (found.orders[0], found.orders[0].state) == (placed.order, ORDER_STATE_OPEN)
    await client.fulfill_order(FulfillOrderRequest(order_id=placed.order.order_id))
    await soon(
        lambda: client.get_order(orders.GetOrderRequest(order_id=placed.order.order_id)),
        lambda answer: answer.order.state == ORDER_STATE_FULFILLED,
    )

    sent = await client.dispatch_transfer(
        DispatchTransferRequest(
            source_location_id=shop.house,
            destination_location_id=shop.store,
            lines=[DispatchLine(sku=shop.mug, quantity=3)],
        )
    )
    arriving = orders.ListTransfersRequest(
        filter=orders.TransferFilter(states=[TRANSFER_STATE_IN_TRANSIT], destination_location_id=shop.store)
    )
    coming = await soon(lambda: client.list_transfers(arriving), lambda answer: bool(answer.transfers))
    assert list(coming.transfers) == [sent.transfer]
    await client.receive_transfer(ReceiveTransferRequest(transfer_id=sent.transfer.transfer_id))
    await soon(
        lambda: client.get_transfer(orders.GetTransferRequest(transfer_id=sent.transfer.transfer_id)),
        lambda answer: answer.transfer.state == TRANSFER_STATE_RECEIVED,
    )
    assert not (await client.list_transfers(arriving)).transfers


async def test_the_past_is_found(shop: Shop) -> None:
    client = shop.client
    sold = await client.remove_stock(
        RemoveStockRequest(
            sku=shop.mug, location_id=shop.house, quantity=4, reason=MOVEMENT_REASON_SALE, reference="till-1"
        )
    )
    history = await client.get_stock_history(
        stock.GetStockHistoryRequest(sku=shop.mug, filter=stock.HistoryFilter(reference="till-1"))
    )
    assert [(one.delta.on_hand, one.actor) for one in history.movements] == [(-4, "e2e/queries")]
    sale = history.movements[0].record_time
    assert sale == sold.level.update_time
    before = await client.get_stock_history(
        stock.GetStockHistoryRequest(
            sku=shop.mug,
            filter=stock.HistoryFilter(kinds=[MOVEMENT_KIND_ADD], record_time=TimeRange(end=sale)),
        )
    )
    assert [one.result.on_hand for one in before.movements] == [10]
    then = stock.GetStockLevelAsOfRequest(sku=shop.mug, location_id=shop.house, time=sale)
    assert (await client.get_stock_level_as_of(then)).on_hand == 6
    then.time.CopyFrom(before.movements[0].record_time)
    assert (await client.get_stock_level_as_of(then)).on_hand == 10
    then.time.seconds -= 1
    with pytest.raises(LevelNotFoundError):
        await client.get_stock_level_as_of(then)
