"""`python -m bench.echo`: the frame that every server of the project stands on, with nothing behind it.

The same settings, guard, interceptor, worker processes, methods and messages as the services; the answer of a
call is ready made. What a service takes longer is its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic_settings import SettingsConfigDict

from inventory.command.v1.stock_command_service_pb2 import AddStockRequest, AddStockResponse
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest, GetStockLevelResponse
from inventory.type.v1.stock_pb2 import StockLevel
from serving import logs, server, workers
from serving.server import GrpcServer, Service
from serving.settings import ServerSettings, load

Context = grpc.aio.ServicerContext[Any, Any]


class Method(NamedTuple):
    """A method of the echo, with the messages that it takes and gives.

    It goes by the name of the one in the contracts that it stands for: the guard lets no other in.
    """

    service: str
    name: str
    request: type[Message]
    response: type[Message]

    @property
    def path(self) -> str:
        """The name under which it is called."""
        return f"/{self.service}/{self.name}"


COMMAND = Method("inventory.command.v1.StockCommandService", "AddStock", AddStockRequest, AddStockResponse)
QUERY = Method(
    "inventory.query.v1.StockQueryService", "GetStockLevel", GetStockLevelRequest, GetStockLevelResponse
)


class EchoSettings(ServerSettings):
    """What the echo can be told; see ServerSettings."""

    model_config = SettingsConfigDict(env_prefix="INVENTORY_ECHO_", frozen=True)


async def _command(request: AddStockRequest, _: Context) -> AddStockResponse:
    level = _level(request.sku, request.location_id, request.quantity)
    return AddStockResponse(request_id=request.request_id, consistency_token="A" * 34, level=level)


async def _query(request: GetStockLevelRequest, _: Context) -> GetStockLevelResponse:
    return GetStockLevelResponse(level=_level(request.sku, request.location_id, 12))


def _level(sku: str, location_id: str, quantity: int) -> StockLevel:
    return StockLevel(
        sku=sku,
        location_id=location_id,
        on_hand=quantity,
        available=quantity,
        sellable=quantity,
        version=1,
        update_time=Timestamp(seconds=1_790_000_000, nanos=123_456_000),
    )


def _service(method: Method, behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Service:
    handler = grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=method.request.FromString,
        response_serializer=method.response.SerializeToString,
    )
    generic = grpc.method_handlers_generic_handler(method.service, {method.name: handler})
    return Service(method.service, lambda target: target.add_generic_rpc_handlers((generic,)))


SERVICES = (_service(COMMAND, _command), _service(QUERY, _query))
"""COMMAND and QUERY, which answer with a typical message."""


def main() -> None:
    """Serve the echo until SIGTERM or SIGINT."""
    settings = load(EchoSettings)
    logs.configure(settings.log_level, "echo")

    @asynccontextmanager
    async def assemble() -> AsyncIterator[GrpcServer]:
        yield GrpcServer(settings, SERVICES, dependencies=[], unavailable={})

    workers.run(settings, lambda: server.run(assemble))


if __name__ == "__main__":
    main()
