"""A caller's code is typed end to end: mypy --strict checks this file, and it runs nothing."""

from __future__ import annotations

from typing import assert_type

from google.type.date_pb2 import Date

from client import (
    BlockingClient,
    ExceedsOrderError,
    InsufficientStockError,
    InventoryClient,
    OrderNotFoundError,
    TransferResolvedError,
    blocking_pages,
    error_from_status,
    pages,
)
from inventory.command.v1.item_command_service_pb2 import (
    BatchCreateItemsRequest,
    BatchCreateItemsResponse,
    CreateItemRequest,
)
from inventory.command.v1.order_command_service_pb2 import (
    FulfillLine,
    FulfillOrderRequest,
    PlaceLine,
    PlaceOrderRequest,
    PlaceOrderResponse,
)
from inventory.command.v1.stock_command_service_pb2 import RemoveStockRequest, RemoveStockResponse
from inventory.command.v1.transfer_command_service_pb2 import (
    ReceiveLine,
    ReceiveTransferRequest,
    ReceiveTransferResponse,
)
from inventory.query.v1.order_query_service_pb2 import (
    CREATION_ORDER_OLDEST_FIRST,
    ListOrdersRequest,
    ListOrdersResponse,
    OrderFilter,
)
from inventory.query.v1.stock_query_service_pb2 import (
    GetStockLevelRequest,
    ListStockLevelsRequest,
    ListStockLevelsResponse,
    WatchStockRequest,
    WatchStockResponse,
)
from inventory.type.v1.lot_pb2 import LotReceipt
from inventory.type.v1.order_pb2 import Order
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_SALE


async def sell(client: InventoryClient, sku: str, quantity: int) -> int:
    """Sell some units, or all that are left; return how many are left then."""
    request = RemoveStockRequest(
        sku=sku, location_id="STORE-1", quantity=quantity, reason=MOVEMENT_REASON_SALE
    )
    try:
        answer = assert_type(await client.remove_stock(request), RemoveStockResponse)
    except InsufficientStockError as refused:
        request.quantity = int(refused.metadata["available"])
    else:
        return answer.level.available
    await client.remove_stock(request)
    level = (await client.get_stock_level(GetStockLevelRequest(sku=sku, location_id="STORE-1"))).level
    return assert_type(level.available, int)


async def order(client: InventoryClient, sku: str, quantity: int) -> Order:
    """Order some units, those to come included; ship what is there."""
    request = PlaceOrderRequest(
        lines=[PlaceLine(sku=sku, quantity=quantity)], allow_backorder=True, channel="web"
    )
    placed = assert_type(await client.place_order(request), PlaceOrderResponse).order
    ready = [
        FulfillLine(
            sku=line.sku,
            location_id=line.location_id,
            lot_id=line.lot_id,
            quantity=line.quantity - line.backordered,
        )
        for line in placed.allocations
        if line.quantity > line.backordered
    ]
    try:
        shipped = await client.fulfill_order(FulfillOrderRequest(order_id=placed.order_id, lines=ready))
    except OrderNotFoundError as missing:
        assert_type(missing, OrderNotFoundError)
        raise
    except ExceedsOrderError:
        return placed
    return assert_type(shipped.order, Order)


async def receive(client: InventoryClient, transfer_id: str, lot_id: str, serials: list[str]) -> int:
    """Take in units of one lot, each by its serial; return how many are on hand then."""
    lot = LotReceipt(lot_id=lot_id, expiry_date=Date(year=2027, month=3, day=31), serials=serials)
    line = ReceiveLine(sku="YOGURT-1", quantity=len(serials), lot=lot)
    request = ReceiveTransferRequest(transfer_id=transfer_id, lines=[line])
    try:
        answer = assert_type(await client.receive_transfer(request), ReceiveTransferResponse)
    except TransferResolvedError as resolved:
        assert_type(resolved.metadata["state"], str)
        return 0
    return answer.levels[0].on_hand


async def offer(client: InventoryClient, skus: list[str]) -> list[str]:
    """Create items; return the reasons of those that were refused."""
    commands = [CreateItemRequest(sku=sku, name=sku, lot_tracked=True) for sku in skus]
    answer = await client.batch_create_items(BatchCreateItemsRequest(commands=commands))
    assert_type(answer, BatchCreateItemsResponse)
    return [error_from_status(each.error).reason for each in answer.results if each.HasField("error")]


async def waiting(client: InventoryClient, sku: str) -> list[str]:
    """Return the ids of the orders that wait for an item, oldest first."""
    request = ListOrdersRequest(
        filter=OrderFilter(sku=sku, backordered=True), order_by=CREATION_ORDER_OLDEST_FIRST
    )
    found: list[str] = []
    async for page in pages(client.list_orders, request):
        found += [order.order_id for order in assert_type(page, ListOrdersResponse).orders]
    return found


def sell_blocking(client: BlockingClient, sku: str) -> list[int]:
    """Sell one unit; return how many are left of it, and then of each item."""
    request = RemoveStockRequest(sku=sku, location_id="STORE-1", quantity=1, reason=MOVEMENT_REASON_SALE)
    answer = assert_type(client.remove_stock(request, timeout=2), RemoveStockResponse)
    found = [answer.level.available]
    for page in blocking_pages(client.list_stock_levels, ListStockLevelsRequest()):
        found += [level.available for level in assert_type(page, ListStockLevelsResponse).levels]
    for message in client.watch_stock(WatchStockRequest(skus=[sku])):
        assert_type(message, WatchStockResponse)
        break
    return found


def test_the_examples_are_functions_of_typed_answers() -> None:
    examples = (sell, order, receive, offer, waiting, sell_blocking)
    assert [each.__annotations__["return"] for each in examples] == [
        *("int", "Order", "int", "list[str]", "list[str]", "list[int]")
    ]
