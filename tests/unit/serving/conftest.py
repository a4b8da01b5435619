"""A tiny service of the real contracts, on a real server in this process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from inventory.query.v1 import catalog_query_service_pb2 as pb2
from inventory.query.v1 import catalog_query_service_pb2_grpc as pb2_grpc
from inventory.type.v1 import item_pb2
from serving.server import GrpcServer, Service
from serving.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from serving.health import Dependency, Role

    Behaviour = Callable[[pb2.GetItemRequest, Any], Awaitable[pb2.GetItemResponse]]

SERVICE = "inventory.query.v1.CatalogQueryService"


class BackendError(Exception):
    """What the tiny service's dependency raises."""


async def echo(request: pb2.GetItemRequest, _context: object) -> pb2.GetItemResponse:
    """Answer with the SKU that was asked for."""
    return pb2.GetItemResponse(item=item_pb2.Item(sku=request.sku))


def tiny_catalog(behaviour: Behaviour) -> Service:
    """Return a catalogue that has GetItem alone, which does what a test says."""
    get_item = grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=pb2.GetItemRequest.FromString,
        response_serializer=pb2.GetItemResponse.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler(SERVICE, {"GetItem": get_item})
    return Service(SERVICE, lambda server: server.add_generic_rpc_handlers([handler]))


class Running:
    """A started server and a channel to it."""

    def __init__(self, server: GrpcServer, channel: grpc.aio.Channel, port: int) -> None:
        self.server = server
        self.channel = channel
        self.port = port
        self.catalog = pb2_grpc.CatalogQueryServiceStub(channel)

    async def health(self, name: str = "") -> int:
        """Ask for the health of one name."""
        check: grpc.aio.UnaryUnaryMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ] = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        return (await check(health_pb2.HealthCheckRequest(service=name), timeout=5)).status


@asynccontextmanager
async def running(
    behaviour: Behaviour = echo,
    dependencies: Sequence[Dependency] = (),
    roles: Sequence[Role] = (),
    /,
    **settings: object,
) -> AsyncIterator[Running]:
    """Serve `behaviour` on a free port of the loopback; shut down at the end unless the test did."""
    given = {"listen": "127.0.0.1:0", "drain_seconds": 0, "grace_seconds": 1} | settings
    server = GrpcServer(
        ServerSettings.model_validate(given),
        [tiny_catalog(behaviour)],
        dependencies=dependencies,
        unavailable={BackendError: "backend"},
        roles=roles,
    )
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Running(server, channel, port)
        await server.shut_down()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep variables of the developer's shell out of the tests."""
    for name in ServerSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
