"""What a call of the client carries, and what it raises."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import grpc
import pytest

from client import (
    InventoryClient,
    InventoryError,
)
from client.channels import MESSAGE_BYTES
from client.version import VERSION
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.query.v1.catalog_query_service_pb2 import ListLocationsRequest
from inventory.query.v1.consistency_pb2 import Consistency
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from serving import tokens
from tests.unit.client.scripted_service import REQUEST, Service


async def test_a_command_without_an_id_gets_a_fresh_one_and_the_message_stays_as_it_was(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    request = AddStockRequest()
    request.CopyFrom(REQUEST)
    answers = [await client.add_stock(request) for _ in range(2)]
    assert request == REQUEST
    sent = service[0].request_ids
    assert len(set(sent)) == 2
    assert [answer.request_id for answer in answers] == sent
    assert all(len(request_id) == 36 for request_id in sent)


async def test_a_given_id_is_sent_and_the_actor_and_a_deadline_go_with_it(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    request = AddStockRequest(
        request_id="r-1", sku="MUG-1", location_id="WH-1", quantity=1, reason=MOVEMENT_REASON_RECEIPT
    )
    assert (await client.add_stock(request)).level.on_hand == 1
    assert service[0].request_ids == ["r-1"]
    assert service[0].metadata[0]["x-inventory-actor"] == "test"
    await client.add_stock(request, timeout=20)
    first, second = service[0].remaining
    assert second <= 21 < first <= 61  # gRPC rounds up


async def test_a_call_says_what_calls(service: tuple[Service, str], client: InventoryClient) -> None:
    await client.add_stock(REQUEST)
    assert service[0].metadata[0]["user-agent"].startswith(f"inventory-client/{VERSION} ")


async def test_no_proxy_stands_in_between(
    service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with InventoryClient(f"localhost:{service[1].rpartition(':')[2]}") as client:
        await client.add_stock(REQUEST, timeout=5)


async def test_a_request_too_large_for_the_services_is_not_sent(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    large = AddStockRequest(reference="x" * (MESSAGE_BYTES + 1))
    with pytest.raises(InventoryError) as caught:
        await client.add_stock(large)
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert service[0].requests == []


async def test_a_method_the_service_lacks_is_an_inventory_error(client: InventoryClient) -> None:
    with pytest.raises(InventoryError) as caught:
        await client.list_locations(ListLocationsRequest())
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_query_is_as_fresh_as_the_newest_command_unless_it_says_otherwise(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    script, address = service
    now = datetime(2026, 11, 25, tzinfo=UTC)
    older, newer = (
        tokens.encode(UUID(int=(number << 80) + (7 << 76)), now + timedelta(seconds=number), UUID(int=1))
        for number in (1, 2)
    )
    # Made by a service that is not yet the newest: of version 1, which says no more than this.
    newer = base64.urlsafe_b64encode(b"\1" + base64.urlsafe_b64decode(newer)[1:25]).rstrip(b"=").decode()
    question = GetStockLevelRequest(sku="MUG-1", location_id="WH-1")
    await client.get_stock_level(question)
    script.tokens = [newer, older]  # a command that is repeated is answered with its first token
    await client.add_stock(REQUEST)
    await client.add_stock(REQUEST)
    await client.get_stock_level(question)
    question.consistency.fully_consistent = True
    await client.get_stock_level(question)
    newest = Consistency(at_least_as_fresh=newer)
    assert script.consistencies == [Consistency(), newest, Consistency(fully_consistent=True)]

    async with InventoryClient(address, actor="test", read_your_writes=False) as careless:
        script.tokens = [newer]
        await careless.add_stock(REQUEST)
        await careless.get_stock_level(GetStockLevelRequest(sku="MUG-1", location_id="WH-1"))
    assert script.consistencies[-1] == Consistency()
