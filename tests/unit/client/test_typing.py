"""A caller's code is typed end to end: mypy --strict checks this file, and it runs nothing."""

from __future__ import annotations

from typing import assert_type

from client import InsufficientStockError, InventoryClient
from inventory.command.v1.stock_command_service_pb2 import RemoveStockRequest, RemoveStockResponse
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest
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


def test_the_example_is_a_coroutine_function() -> None:
    assert sell.__annotations__["return"] == "int"
