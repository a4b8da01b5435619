"""The blocking client through the front door, as a program without an event loop uses it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from anyio.from_thread import start_blocking_portal

from client import BlockingClient, InsufficientStockError, blocking_pages
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import (
    AddStockRequest,
    RemoveStockRequest,
    StockCommand,
    StreamStockRequest,
)
from inventory.query.v1.stock_query_service_pb2 import (
    GetStockHistoryRequest,
    GetStockLevelRequest,
    WatchStockRequest,
)
from inventory.type.v1.location_pb2 import LOCATION_KIND_WAREHOUSE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT, MOVEMENT_REASON_SALE
from stack import tokens
from tests.door import Door
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


def test_commands_queries_refusals_and_a_watch_that_is_cut(stack: RunningStack) -> None:
    sku, place = (f"{kind}-{uuid4().hex[:8]}" for kind in ("MUG", "WH"))
    one = AddStockRequest(sku=sku, location_id=place, quantity=1, reason=MOVEMENT_REASON_RECEIPT)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Door(stack.edge)) as door,
        BlockingClient(
            door.address, tls=stack.tls(), token=tokens.source(stack, "till"), timeout=30
        ) as client,
    ):
        client.create_item(CreateItemRequest(sku=sku, name="Mug"))
        client.create_location(
            CreateLocationRequest(location_id=place, name="North", kind=LOCATION_KIND_WAREHOUSE)
        )
        # Each is read by who has just written it.
        for number in range(1, 6):
            client.add_stock(one)
            level = client.get_stock_level(GetStockLevelRequest(sku=sku, location_id=place)).level
            assert level.on_hand == number

        with pytest.raises(InsufficientStockError) as refused:
            client.remove_stock(
                RemoveStockRequest(sku=sku, location_id=place, quantity=9, reason=MOVEMENT_REASON_SALE)
            )
        assert refused.value.metadata["available"] == "5"
        assert refused.value.request_id
        assert refused.value.call_id

        messages = (
            StreamStockRequest(sequence=number, commands=[StockCommand(add=one)] * 2) for number in range(5)
        )
        watch = client.watch_stock(WatchStockRequest(skus=[sku], include_current=True))
        message = next(watch)
        present = [level.version for level in message.levels]
        while not message.cursor:  # a watch that is cut before it begins anew
            message = next(watch)
            present += [level.version for level in message.levels]
        assert present == [5]
        assert [answer.sequence for answer in client.stream_stock(messages)] == list(range(5))
        portal.call(door.cut)
        client.add_stock(one)
        versions: list[int] = []
        while not versions or versions[-1] < 16:
            versions += [change.movement.version for change in next(watch).changes]
        assert versions == list(range(6, 17))
        watch.close()

        history = GetStockHistoryRequest(sku=sku, page_size=5)
        entries = [
            entry.version
            for page in blocking_pages(client.get_stock_history, history)
            for entry in page.movements
        ]
        assert sorted(entries) == list(range(1, 17))
