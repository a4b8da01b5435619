"""A server's life: health follows its dependencies, reflection tells the contract, it ends gracefully."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from inventory.query.v1 import catalog_query_service_pb2 as pb2
from serving.health import Dependency, HealthMonitor, Role
from serving.server import ListenError
from tests.unit.serving.conftest import SERVICE, Running, echo, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Switch:
    """A dependency that answers while it is on, and hangs or raises while it is off."""

    def __init__(self, *, on: bool, hangs: bool = False) -> None:
        self.on = on
        self.hangs = hangs

    async def check(self) -> None:
        if self.on:
            return
        if self.hangs:
            await asyncio.sleep(60)
        raise ConnectionError("nobody there")


async def becomes(service: Running, wanted: int, name: str = "") -> None:
    """Wait for a health; TimeoutError after 5 seconds."""
    async with asyncio.timeout(5):
        while await service.health(name) != wanted:  # noqa: ASYNC110 - another program's state
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("hangs", [False, True], ids=["refusing", "hanging"])
async def test_health_follows_what_is_required(*, hangs: bool) -> None:
    switch = Switch(on=False, hangs=hangs)
    async with running(echo, [Dependency("database", switch.check)]) as service:
        for name in ("", SERVICE, "database"):
            assert await service.health(name) == NOT_SERVING
        switch.on = True
        await becomes(service, SERVING)
        for name in ("", SERVICE, "database"):
            await becomes(service, SERVING, name)
        switch.on = False
        await becomes(service, NOT_SERVING)
        assert await service.health(SERVICE) == NOT_SERVING


async def test_what_is_not_required_is_seen_but_stops_nothing() -> None:
    off, on = Switch(on=False), Switch(on=True)
    dependencies = [Dependency("read model", on.check), Dependency("database", off.check, required=False)]
    async with running(echo, dependencies) as service:
        await becomes(service, SERVING, SERVICE)
        assert await service.health("database") == NOT_SERVING
        assert await service.health("read model") == SERVING


async def test_a_role_has_a_name_of_its_own_and_stops_nothing() -> None:
    is_active = False
    async with running(echo, [], [Role("active", lambda: is_active)]) as service:
        await becomes(service, SERVING)
        assert await service.health("active") == NOT_SERVING
        is_active = True
        await becomes(service, SERVING, "active")
        is_active = False
        await becomes(service, NOT_SERVING, "active")
        assert await service.health(SERVICE) == SERVING


async def test_an_unknown_service_has_no_health() -> None:
    async with running() as service:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await service.health("inventory.Nothing")
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_monitor_ends_for_good() -> None:
    switch = Switch(on=True)
    monitor = HealthMonitor([], [Dependency("database", switch.check)], interval=0.01)
    await monitor.start()
    await asyncio.sleep(0.05)
    await monitor.shut_down()
    await monitor.servicer.set("", SERVING)
    answer = await monitor.servicer.Check(health_pb2.HealthCheckRequest(), None)  # type: ignore[arg-type]  # the context is used for errors alone
    assert answer.status == NOT_SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_describes_the_whole_public_contract(version: str) -> None:
    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        yield reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="inventory.command.v1.StockCommandService"
        )

    async with running() as service:
        reflect: grpc.aio.StreamStreamMultiCallable[
            reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
        ] = service.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        listed, described = [answer async for answer in reflect(requests(), timeout=5)]
    names = {entry.name for entry in listed.list_services_response.service}
    assert names == {
        "grpc.health.v1.Health",
        "inventory.admin.v1.AuditService",
        "inventory.admin.v1.PipelineService",
        "inventory.command.v1.ItemCommandService",
        "inventory.command.v1.LocationCommandService",
        "inventory.command.v1.OrderCommandService",
        "inventory.command.v1.ReservationCommandService",
        "inventory.command.v1.StockCommandService",
        "inventory.command.v1.TransferCommandService",
        "inventory.query.v1.CatalogQueryService",
        "inventory.query.v1.OrderQueryService",
        "inventory.query.v1.StockQueryService",
    }
    files = {
        descriptor_pb2.FileDescriptorProto.FromString(file).name
        for file in described.file_descriptor_response.file_descriptor_proto
    }
    assert "inventory/command/v1/stock_command_service.proto" in files
    assert "buf/validate/validate.proto" in files


async def test_a_running_call_finishes_during_shutdown() -> None:
    entered = asyncio.Event()

    async def work(request: pb2.GetItemRequest, _context: object) -> pb2.GetItemResponse:
        entered.set()
        await asyncio.sleep(0.3)
        answer = pb2.GetItemResponse()
        answer.item.sku = request.sku
        return answer

    async with running(work, drain_seconds=0, grace_seconds=5) as service:
        call = asyncio.ensure_future(service.catalog.GetItem(pb2.GetItemRequest(sku="MUG-1"), timeout=5))
        await entered.wait()
        await service.server.shut_down()
        assert (await call).item.sku == "MUG-1"
        with pytest.raises(grpc.aio.AioRpcError):
            await service.catalog.GetItem(pb2.GetItemRequest(sku="MUG-1"), timeout=1)


async def test_clients_hear_of_the_end_before_calls_are_refused() -> None:
    async with running(drain_seconds=0.5) as service:
        await becomes(service, SERVING)
        ending = asyncio.ensure_future(service.server.shut_down())
        await becomes(service, NOT_SERVING)
        await service.catalog.GetItem(pb2.GetItemRequest(sku="MUG-1"), timeout=5)
        assert not ending.done()
        await ending


async def test_a_taken_port_is_named() -> None:
    async with running() as service:
        with pytest.raises(ListenError, match=str(service.port)):
            async with running(listen=f"127.0.0.1:{service.port}"):
                pass
