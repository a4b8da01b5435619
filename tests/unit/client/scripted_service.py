"""A real gRPC server that answers as a script says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from client import RetryPolicy
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest, AddStockResponse
from inventory.query.v1.consistency_pb2 import Consistency
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest, GetStockLevelResponse
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT, StockLevel

STOCK, STOCK_QUERY = "inventory.command.v1.StockCommandService", "inventory.query.v1.StockQueryService"
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
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(retry_after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)

    async def step(context: Context) -> None:
        await context.abort_with_status(rpc_status.to_status(status))

    return step


@asynccontextmanager
async def served(handlers: Mapping[tuple[str, str], grpc.RpcMethodHandler[Any, Any]]) -> AsyncIterator[str]:
    """Serve these methods, each by its service and its name, and give the address."""
    server = grpc.aio.server()
    for (name, method), handler in handlers.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


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

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Serve it, and give the address."""
        handlers: dict[tuple[str, str], grpc.RpcMethodHandler[Any, Any]] = {
            (STOCK, "AddStock"): grpc.unary_unary_rpc_method_handler(
                self.add_stock, AddStockRequest.FromString, AddStockResponse.SerializeToString
            ),
            (STOCK_QUERY, "GetStockLevel"): grpc.unary_unary_rpc_method_handler(
                self.get_stock_level, GetStockLevelRequest.FromString, GetStockLevelResponse.SerializeToString
            ),
        }
        async with served(handlers) as address:
            yield address
