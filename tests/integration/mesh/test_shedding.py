"""More calls than a service carries: most are refused at once, nothing is lost, and the service works on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2, status_pb2

from client import InventoryClient
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.command.v1.stock_command_service_pb2_grpc import StockCommandServiceStub
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from stack import limits
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

SKU, PLACE = "FLOOD-1", "FLOOD"
AT_ONCE = 600
PATIENCE = 60
ACCEPTED, REFUSED = grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED


def arrival(request_id: str) -> AddStockRequest:
    return AddStockRequest(
        request_id=request_id, sku=SKU, location_id=PLACE, quantity=1, reason=MOVEMENT_REASON_RECEIPT
    )


async def open_shop(client: InventoryClient) -> None:
    await client.create_item(CreateItemRequest(sku=SKU, name="Mug"))
    await client.create_location(
        CreateLocationRequest(location_id=PLACE, name="Flood", kind=LOCATION_KIND_STORE)
    )


def committed(mesh: RunningStack) -> Counter[str]:
    """Return how often each request of this test is in the ledger."""
    query = "SELECT request_id FROM stock_movements WHERE sku = %s"
    with psycopg.connect(mesh.postgres_url("query")) as connection:
        return Counter(request_id for (request_id,) in connection.execute(query, (SKU,)))


async def test_of_a_flood_each_call_is_carried_out_once_or_refused_at_once(mesh: RunningStack) -> None:
    async with mesh.client("flood", timeout=PATIENCE) as client, mesh.channel() as channel:
        await open_shop(client)
        add: Any = StockCommandServiceStub(channel).AddStock
        metadata = mesh.metadata("flood")
        calls = {
            request_id: add(arrival(request_id), timeout=PATIENCE, metadata=metadata)
            for request_id in (f"flood-{number}" for number in range(AT_ONCE))
        }
        codes = {request_id: await call.code() for request_id, call in calls.items()}
        assert set(codes.values()) == {ACCEPTED, REFUSED}
        answered = [request_id for request_id, code in codes.items() if code is ACCEPTED]
        assert len(answered) >= limits.read().shedding.least
        assert committed(mesh) == dict.fromkeys(answered, 1)

        refused = next(calls[request_id] for request_id, code in codes.items() if code is REFUSED)
        trailers = dict(await refused.trailing_metadata() or ())
        status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(info)
        assert status.details[1].Unpack(retry)
        assert info.reason == "QUEUE_FULL"
        assert retry.retry_delay.ToTimedelta().total_seconds() == 0.25
        assert status.message == await refused.details()

        # Who comes again with the same request id is carried out, once.
        for request_id in sorted(codes)[:20]:
            await client.add_stock(arrival(request_id))
        assert set(committed(mesh).values()) == {1}
