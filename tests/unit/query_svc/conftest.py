"""The query service on a real server in this process, its view in a Redis of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from inventory.query.v1 import (
    catalog_query_service_pb2_grpc,
    order_query_service_pb2_grpc,
    stock_query_service_pb2_grpc,
)
from query_svc.config import QuerySettings
from query_svc.read_model import MOST_CLOSED_DAYS, Changes, ReadModelWriter, connect_writer
from query_svc.server import assemble
from tests.redis_server import RedisServer, binaries, redis_server

# Nobody listens on the discard port of a machine of today.
NO_DATABASE = "postgresql://inventory_query@127.0.0.1:9/inventory"

Fill = Callable[[Changes], Awaitable[None]]


class Queries:
    """Stubs of the query services."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.stock = stock_query_service_pb2_grpc.StockQueryServiceStub(channel)
        self.catalog = catalog_query_service_pb2_grpc.CatalogQueryServiceStub(channel)
        self.orders = order_query_service_pb2_grpc.OrderQueryServiceStub(channel)


class WithoutFreshness(grpc.aio.UnaryUnaryClientInterceptor):
    """Takes from every answer how fresh it is, which no two answers have in common."""

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:  # noqa: ANN401 - as the base has it
        """Return the answer without its freshness."""
        answer = await (await continuation(details, request))
        if "freshness" in answer.DESCRIPTOR.fields_by_name:
            answer.ClearField("freshness")
        return answer


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a running Redis."""
    with redis_server(binaries()["valkey"], tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def writer(redis: RedisServer) -> AsyncIterator[ReadModelWriter]:
    """Give a writer to the view, which is empty, and is known to be all there is."""
    with redis.client() as client:
        client.flushall()
    async with connect_writer(redis.url) as writer:
        await writer.resume("test")
        await writer.apply(Changes(), 1)
        yield writer


@pytest.fixture
def fill(writer: ReadModelWriter) -> Fill:
    """Give what applies changes to the view."""

    async def apply(changes: Changes) -> None:
        position = await writer.resume("test")
        await writer.apply(changes, 1 if position is None else position + 1)

    return apply


@pytest.fixture
async def queries(redis: RedisServer, writer: ReadModelWriter) -> AsyncIterator[Queries]:
    """Give stubs of the service as its composition root makes it, over an empty view."""
    assert writer
    settings = QuerySettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "redis_url": redis.url,
            "redis_timeout_seconds": 1.5,
            "database_url": NO_DATABASE,
            "connect_timeout_seconds": 0.2,
            # What tests show has its fixed times, and is all kept.
            "closed_days": MOST_CLOSED_DAYS,
            "drain_seconds": 0,
        }
    )
    async with assemble(settings) as server:
        address = f"127.0.0.1:{await server.start()}"
        async with grpc.aio.insecure_channel(address, interceptors=[WithoutFreshness()]) as channel:
            yield Queries(channel)
        await server.shut_down()


async def refusal(call: Awaitable[object]) -> tuple[error_details_pb2.ErrorInfo, grpc.StatusCode]:
    """Return why the call is refused; fail if it is not."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    packed = (refused.value.trailing_metadata() or {})["grpc-status-details-bin"]
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(packed).details[0].Unpack(info)
    return info, refused.value.code()
