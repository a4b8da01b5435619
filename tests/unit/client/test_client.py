"""The client against a real gRPC server that answers as a script says."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from google.type.date_pb2 import Date
from grpc_status import rpc_status

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
from client.channels import MESSAGE_BYTES
from client.version import VERSION
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest, AddStockResponse
from inventory.query.v1.catalog_query_service_pb2 import ListLocationsRequest
from inventory.query.v1.consistency_pb2 import Consistency
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest, GetStockLevelResponse
from inventory.type.v1.lot_pb2 import LotReceipt
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT, StockLevel
from serving import tokens

FAST = RetryPolicy(attempts=5, first_pause=0.01, longest_pause=0.02)
REQUEST = AddStockRequest(sku="MUG-1", location_id="WH-1", quantity=2, reason=MOVEMENT_REASON_RECEIPT)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Step = Callable[[Context], Awaitable[None]]


async def succeed(_: Context) -> None:
    """Let the call be answered."""


def refuse(code: int, reason: str = "", *, retry_after: float | None = None, **metadata: str) -> Step:
    """Return a step that ends the call with a status, and details when there is a reason."""
    status = status_pb2.Status(code=code, message="refused")
    details: list[Any] = []
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="inventory", metadata=metadata))
    if retry_after is not None:
        delay = duration_pb2.Duration(nanos=int(retry_after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)

    async def step(context: Context) -> None:
        await context.abort_with_status(rpc_status.to_status(status))

    return step


@dataclass
class Service:
    """Takes one step of its script a call, and keeps what it was sent; an empty script answers."""

    script: list[Step] = field(default_factory=list)
    requests: list[AddStockRequest] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    remaining: list[float] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    """The tokens that commands are answered with, in order; none when there are none."""
    consistencies: list[Consistency] = field(default_factory=list)

    @property
    def request_ids(self) -> list[str]:
        """The ids of the commands that came, in order."""
        return [request.request_id for request in self.requests]

    async def _step(self, context: Context) -> None:
        self.metadata.append(dict(list(context.invocation_metadata() or ())))
        self.remaining.append(context.time_remaining())
        if self.script:
            await self.script.pop(0)(context)

    async def add_stock(self, request: AddStockRequest, context: Context) -> AddStockResponse:
        """Answer AddStock."""
        self.requests.append(request)
        await self._step(context)
        return AddStockResponse(
            request_id=request.request_id,
            level=StockLevel(on_hand=request.quantity),
            consistency_token=self.tokens.pop(0) if self.tokens else "",
        )

    async def get_stock_level(self, request: GetStockLevelRequest, context: Context) -> GetStockLevelResponse:
        """Answer GetStockLevel."""
        self.consistencies.append(request.consistency)
        await self._step(context)
        return GetStockLevelResponse(level=StockLevel(sku=request.sku))


@pytest.fixture
async def service() -> AsyncIterator[tuple[Service, str]]:
    script = Service()
    server = grpc.aio.server()
    for name, method, behaviour, request, response in (
        (
            "inventory.command.v1.StockCommandService",
            "AddStock",
            script.add_stock,
            AddStockRequest,
            AddStockResponse,
        ),
        (
            "inventory.query.v1.StockQueryService",
            "GetStockLevel",
            script.get_stock_level,
            GetStockLevelRequest,
            GetStockLevelResponse,
        ),
    ):
        handler = grpc.unary_unary_rpc_method_handler(
            behaviour, request_deserializer=request.FromString, response_serializer=response.SerializeToString
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield script, f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def client(service: tuple[Service, str]) -> AsyncIterator[InventoryClient]:
    async with InventoryClient(service[1], actor="test", timeout=5, retry=FAST) as connected:
        yield connected


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
    assert service[0].remaining[0] == pytest.approx(5, abs=0.5)
    await client.add_stock(request, timeout=2)
    assert service[0].remaining[1] == pytest.approx(2, abs=0.5)


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
    await client.add_stock(REQUEST)
    assert time.monotonic() - start >= 0.2
    assert len(service[0].request_ids) == 2
    assert service[0].remaining[1] < service[0].remaining[0] - 0.15  # both share one deadline


async def test_no_attempt_is_made_that_would_miss_the_deadline(
    service: tuple[Service, str], client: InventoryClient
) -> None:
    service[0].script = [refuse(code_pb2.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after=0.9)]
    start = time.monotonic()
    with pytest.raises(QueueFullError) as caught:
        await client.add_stock(REQUEST, timeout=0.5)
    assert time.monotonic() - start < 0.4
    assert caught.value.retry_after == 0.9


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
    async def sleep(_: Context) -> None:
        await asyncio.sleep(2)

    service[0].script = [sleep]
    with pytest.raises(DeadlineExceededError) as caught:
        await client.add_stock(REQUEST, timeout=0.2)
    assert caught.value.request_id == service[0].request_ids[0]
    assert caught.value.request_id in str(caught.value)


async def test_nobody_there_is_unavailable() -> None:
    async with InventoryClient("127.0.0.1:1", actor="test", retry=FAST) as nowhere:
        with pytest.raises(UnavailableError) as caught:
            await nowhere.add_stock(REQUEST, timeout=2)
    assert caught.value.reason == ""


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
