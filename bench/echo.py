"""`python -m bench.echo`: the frame that every server of the project stands on, with nothing behind it.

The same settings, interceptor, worker processes and messages as the command service; the answer of a
call is ready made. What the command service takes longer is its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic_settings import SettingsConfigDict

from inventory.command.v1.stock_command_service_pb2 import AddStockRequest, AddStockResponse
from inventory.type.v1.stock_pb2 import StockLevel
from serving import logs, server, workers
from serving.server import GrpcServer, Service
from serving.settings import ServerSettings, load

# Under the project's own name: calls of others pass the interceptor untouched.
SERVICE = "inventory.bench.v1.EchoService"
METHOD = f"/{SERVICE}/Echo"


class EchoSettings(ServerSettings):
    """What the echo can be told; see ServerSettings."""

    model_config = SettingsConfigDict(env_prefix="INVENTORY_ECHO_", frozen=True)


async def _echo(request: AddStockRequest, _: grpc.aio.ServicerContext[Any, Any]) -> AddStockResponse:
    level = StockLevel(
        sku=request.sku,
        location_id=request.location_id,
        on_hand=request.quantity,
        available=request.quantity,
        sellable=request.quantity,
        version=1,
        update_time=Timestamp(seconds=1_790_000_000, nanos=123_456_000),
    )
    return AddStockResponse(request_id=request.request_id, consistency_token="A" * 34, level=level)


def add_echo_to_server(target: grpc.aio.Server) -> None:
    """Serve METHOD, which answers AddStockRequest with a typical AddStockResponse."""
    handler = grpc.unary_unary_rpc_method_handler(
        _echo,
        request_deserializer=AddStockRequest.FromString,
        response_serializer=AddStockResponse.SerializeToString,
    )
    target.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Echo": handler}),))


def main() -> None:
    """Serve the echo until SIGTERM or SIGINT."""
    settings = load(EchoSettings)
    logs.configure(settings.log_level, "echo")

    @asynccontextmanager
    async def assemble() -> AsyncIterator[GrpcServer]:
        services = [Service(SERVICE, add_echo_to_server)]
        yield GrpcServer(settings, services, dependencies=[], unavailable={})

    workers.run(settings, lambda: server.run(assemble))


if __name__ == "__main__":
    main()
