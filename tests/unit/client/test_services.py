"""The client has a method for every RPC of the contracts, and says of each what the contract says."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, get_type_hints

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from client import InventoryClient, InventoryError, RetryPolicy
from client.connection import Connection
from client.status import BY_REASON
from inventory.command.v1 import stock_command_service_pb2
from serving.contracts import METHODS

PROTO = Path(__file__).parents[3] / "proto"

RPCS = list(METHODS.values())
CALLS = [rpc for rpc in RPCS if not rpc.client_streaming and not rpc.server_streaming]
STREAM = METHODS["/inventory.command.v1.StockCommandService/StreamStock"]
EXPORTS = [
    METHODS[f"/inventory.admin.v1.AuditService/{name}"] for name in ("ExportAuditEntries", "ExportSubject")
]
WATCH = METHODS["/inventory.query.v1.StockQueryService/WatchStock"]

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

every_call = pytest.mark.parametrize("rpc", CALLS, ids=lambda rpc: rpc.name)
every_command = pytest.mark.parametrize(
    "rpc", [rpc for rpc in CALLS if "request_id" in rpc.input_type.fields_by_name], ids=lambda rpc: rpc.name
)


def method_name(rpc: MethodDescriptor) -> str:
    """Return the name of the client's method for an RPC."""
    return re.sub("(?<!^)(?=[A-Z])", "_", rpc.name).lower()


def comment(rpc: MethodDescriptor) -> str:
    """Return what the contract says above an RPC."""
    lines = (PROTO / rpc.containing_service.file.name).read_text().partition(f"  rpc {rpc.name}(")[0]
    return lines.rpartition("\n\n")[2].rpartition("{\n")[2]


@dataclass
class Services(grpc.GenericRpcHandler):
    """Answers every RPC with its empty response; refuses the first `refusals` calls as UNAVAILABLE."""

    refusals: int = 0
    calls: list[tuple[str, bytes]] = field(default_factory=list)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        async def answer(request: bytes, context: Context) -> bytes:
            self.calls.append((handler_call_details.method, request))
            if len(self.calls) <= self.refusals:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
async def services() -> AsyncIterator[tuple[Services, InventoryClient]]:
    handler = Services()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    retry = RetryPolicy(attempts=5, first_pause=0.01, longest_pause=0.02)
    async with InventoryClient(f"127.0.0.1:{port}", actor="test", timeout=5, retry=retry) as client:
        yield handler, client
    await server.stop(None)


def test_every_service_of_the_contracts_is_looked_at() -> None:
    published = [
        name
        for side in ("admin", "command", "query")
        for contract in (PROTO / "inventory" / side / "v1").glob("*.proto")
        for name in re.findall(r"^service (\w+)", contract.read_text(), re.MULTILINE)
    ]
    assert sorted(published) == sorted({rpc.containing_service.name for rpc in RPCS})


def test_the_client_has_a_method_for_every_rpc_and_no_other() -> None:
    methods = {
        name
        for name, _ in inspect.getmembers(InventoryClient, inspect.isfunction)
        if not name.startswith("_") and not hasattr(Connection, name)
    }
    assert methods == {method_name(rpc) for rpc in RPCS}


@every_call
def test_a_method_is_typed_by_the_messages_of_its_rpc(rpc: MethodDescriptor) -> None:
    hints = get_type_hints(getattr(InventoryClient, method_name(rpc)))
    assert hints == {
        "request": message_factory.GetMessageClass(rpc.input_type),
        "timeout": float | None,
        "return": message_factory.GetMessageClass(rpc.output_type),
    }


def test_the_streams_are_typed_by_their_messages() -> None:
    assert [rpc for rpc in RPCS if rpc not in CALLS] == [*EXPORTS, STREAM, WATCH]
    for rpc in (*EXPORTS, WATCH):
        hints = get_type_hints(getattr(InventoryClient, method_name(rpc)))
        assert hints["request"] is message_factory.GetMessageClass(rpc.input_type)
        answer = message_factory.GetMessageClass(rpc.output_type)
        assert hints["return"] == AsyncGenerator[answer, None]  # type: ignore[valid-type]
    hints = get_type_hints(InventoryClient.stream_stock)
    assert hints["messages"] == AsyncIterable[stock_command_service_pb2.StreamStockRequest]
    assert hints["return"] == AsyncGenerator[stock_command_service_pb2.StreamStockResponse, None]


@pytest.mark.parametrize("rpc", [*CALLS, *EXPORTS, WATCH], ids=lambda rpc: rpc.name)
def test_a_method_names_the_exceptions_of_the_reasons_its_contract_names(rpc: MethodDescriptor) -> None:
    named = {word for word in re.findall("[A-Z_]{2,}", comment(rpc)) if word in BY_REASON}
    documented = set(re.findall(r"\w+Error\b", getattr(InventoryClient, method_name(rpc)).__doc__ or ""))
    assert documented == {BY_REASON[reason].__name__ for reason in named}


@every_call
async def test_a_method_calls_its_rpc_and_returns_its_answer(
    rpc: MethodDescriptor, services: tuple[Services, InventoryClient]
) -> None:
    handler, client = services
    request = message_factory.GetMessageClass(rpc.input_type)()
    answer = await getattr(client, method_name(rpc))(request)
    assert [METHODS[called] for called, _ in handler.calls] == [rpc]
    assert type(answer) is message_factory.GetMessageClass(rpc.output_type)


@every_command
async def test_every_attempt_of_every_command_is_the_same_request(
    rpc: MethodDescriptor, services: tuple[Services, InventoryClient]
) -> None:
    handler, client = services
    handler.refusals = 2
    kind: Any = message_factory.GetMessageClass(rpc.input_type)
    request = kind(validate_only=True)
    await getattr(client, method_name(rpc))(request)
    assert request == kind(validate_only=True)
    sent = [kind.FromString(body) for _, body in handler.calls]
    assert len(sent) == 3
    assert sent == [sent[0]] * 3
    assert len(sent[0].request_id) == 36
    assert sent[0].validate_only


@every_command
async def test_the_id_given_to_a_command_is_sent_and_its_error_carries_it(
    rpc: MethodDescriptor, services: tuple[Services, InventoryClient]
) -> None:
    handler, client = services
    handler.refusals = 9
    kind: Any = message_factory.GetMessageClass(rpc.input_type)
    with pytest.raises(InventoryError) as caught:
        await getattr(client, method_name(rpc))(kind(request_id="r-1"))
    assert {kind.FromString(body).request_id for _, body in handler.calls} == {"r-1"}
    assert caught.value.request_id == "r-1"
