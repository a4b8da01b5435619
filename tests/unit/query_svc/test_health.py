"""Health needs the view or the database, which have their own names too."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from query_svc.read_model import Changes
from tests.redis_server import RedisServer
from tests.unit.query_svc.conftest import Fill, Queries

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def becomes(queries: Queries, name: str, wanted: int) -> None:
    """Wait for a health; TimeoutError after 10 seconds."""
    check: grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse] = (
        queries.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
    )
    async with asyncio.timeout(10):
        while (await check(health_pb2.HealthCheckRequest(service=name), timeout=5)).status != wanted:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


async def test_the_services_serve_while_redis_answers_with_or_without_database(
    queries: Queries, redis: RedisServer, fill: Fill
) -> None:
    services = ("StockQueryService", "CatalogQueryService", "OrderQueryService")
    names = ("", *(f"inventory.query.v1.{service}" for service in services))
    for name in names:
        await becomes(queries, name, SERVING)
    await becomes(queries, "read model", SERVING)
    await becomes(queries, "database", NOT_SERVING)
    redis.kill()
    try:
        for name in names:
            await becomes(queries, name, NOT_SERVING)
    finally:
        redis.start()
    await fill(Changes())
    for name in names:
        await becomes(queries, name, SERVING)
