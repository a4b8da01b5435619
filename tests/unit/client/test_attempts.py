"""When the client tries a call again, and when it gives up."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
from google.rpc import code_pb2
from google.type.date_pb2 import Date

from client import (
    DeadlineExceededError,
    InsufficientStockError,
    InventoryClient,
    InventoryError,
    QueueFullError,
    RetryPolicy,
    SerialAlreadyPresentError,
    UnavailableError,
)
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest
from inventory.type.v1.lot_pb2 import LotReceipt
from tests.unit.client.scripted_service import FAST, REQUEST, Context, Service, refuse, succeed


async def test_every_attempt_of_a_command_carries_the_same_ids_and_its_item(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    service[0].script = [refuse(code_pb2.UNAVAILABLE), refuse(code_pb2.UNAVAILABLE), succeed]
    await client.add_stock(REQUEST)
    assert len(service[0].request_ids) == 3
    assert len(set(service[0].request_ids)) == 1
    assert {sent["x-inventory-item"] for sent in service[0].metadata} == {"MUG-1"}
    (call,) = {sent["x-request-id"] for sent in service[0].metadata}
    await client.get_stock_level(GetStockLevelRequest(sku="MUG-1", location_id="WH-1"))
    assert service[0].metadata[-1]["x-request-id"] != call
    assert "x-inventory-item" not in service[0].metadata[-1]


async def test_all_calls_share_one_budget_of_further_attempts(service: tuple[Service, str]) -> None:
    script, address = service
    script.script = [refuse(code_pb2.UNAVAILABLE)] * 100
    scarce = RetryPolicy(attempts=5, first_pause=0.01, longest_pause=0.02, budget=0.5, reserve=4)
    async with InventoryClient(address, retry=scarce) as client:
        for _ in range(10):
            with pytest.raises(UnavailableError):
                await client.add_stock(REQUEST)
        # Ten calls, the reserve, and half an attempt for each call but the first, which found it full.
        assert len(script.requests) == 10 + 4 + 4
        script.script = []
        await client.add_stock(REQUEST)


async def test_who_is_told_when_to_come_again_does_so_beyond_the_budget(service: tuple[Service, str]) -> None:
    service[0].script = [refuse(code_pb2.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after=0.01)] * 4
    none = RetryPolicy(attempts=5, first_pause=0.01, budget=0.0, reserve=0)
    async with InventoryClient(service[1], retry=none) as client:
        await client.add_stock(REQUEST)
    assert len(service[0].requests) == 5


async def test_a_command_travels_whole_in_every_attempt(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    lot = LotReceipt(lot_id="L-1", expiry_date=Date(year=2027, month=3, day=31), serials=["S-1", "S-2"])
    request = AddStockRequest(lot=lot, supplier="MILL-1")
    request.MergeFrom(REQUEST)
    service[0].script = [refuse(code_pb2.UNAVAILABLE), succeed]
    answer = await client.add_stock(request)
    request.request_id = answer.request_id
    assert service[0].requests == [request, request]


async def test_queries_are_tried_again_too(service: tuple[Service, str], client: InventoryClient) -> None:
    service[0].script = [refuse(code_pb2.UNAVAILABLE), succeed]
    answer = await client.get_stock_level(GetStockLevelRequest(sku="MUG-1", location_id="WH-1"))
    assert answer.level.sku == "MUG-1"


async def test_a_full_queue_is_tried_again_after_the_time_it_asks_for(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    service[0].script = [refuse(code_pb2.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after=0.2), succeed]
    start = time.monotonic()
    await client.add_stock(REQUEST, timeout=5)  # so little goes to the millisecond
    assert time.monotonic() - start >= 0.2
    assert len(service[0].request_ids) == 2
    assert service[0].remaining[1] < service[0].remaining[0] - 0.15  # both share one deadline


async def test_no_attempt_is_made_that_would_miss_the_deadline(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    service[0].script = [refuse(code_pb2.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after=90)]
    with pytest.raises(QueueFullError) as caught:
        await client.add_stock(REQUEST, timeout=60)
    assert caught.value.retry_after == 90
    assert len(service[0].request_ids) == 1


async def test_attempts_are_bounded(service: tuple[Service, str], client: InventoryClient) -> None:
    service[0].script = [refuse(code_pb2.UNAVAILABLE)] * 9
    with pytest.raises(UnavailableError) as caught:
        await client.add_stock(REQUEST)
    assert len(service[0].request_ids) == FAST.attempts
    assert caught.value.request_id == service[0].request_ids[0]
    assert caught.value.call_id == service[0].metadata[0]["x-request-id"]


async def test_a_refusal_is_raised_typed_at_once(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    service[0].script = [
        refuse(code_pb2.FAILED_PRECONDITION, "INSUFFICIENT_STOCK", requested="2", available="1")
    ]
    with pytest.raises(InsufficientStockError) as caught:
        await client.add_stock(REQUEST)
    assert caught.value.metadata["available"] == "1"
    assert len(service[0].request_ids) == 1


async def test_what_exists_already_is_not_tried_again(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    service[0].script = [refuse(code_pb2.ALREADY_EXISTS, "SERIAL_ALREADY_PRESENT", serial="S-1")]
    with pytest.raises(SerialAlreadyPresentError) as caught:
        await client.add_stock(REQUEST)
    assert caught.value.metadata["serial"] == "S-1"
    assert service[0].request_ids == [caught.value.request_id]


async def test_an_exhausted_resource_without_a_time_is_not_tried_again(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    service[0].script = [refuse(code_pb2.RESOURCE_EXHAUSTED)]
    with pytest.raises(InventoryError) as caught:
        await client.add_stock(REQUEST)
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(service[0].request_ids) == 1


async def test_a_silent_service_is_a_deadline_exceeded(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    async def say_nothing(_: Context) -> None:
        await asyncio.Event().wait()

    await client.add_stock(REQUEST)  # connected, the next one arrives within its time
    service[0].script = [say_nothing]
    with pytest.raises(DeadlineExceededError) as caught:
        await client.add_stock(REQUEST, timeout=1)
    assert caught.value.request_id == service[0].request_ids[1]
    assert caught.value.request_id in str(caught.value)


async def test_nobody_there_is_unavailable() -> None:
    async with InventoryClient("127.0.0.1:1", actor="test", retry=FAST) as nowhere:
        with pytest.raises(UnavailableError) as caught:
            await nowhere.add_stock(REQUEST, timeout=60)
    assert caught.value.reason == ""
