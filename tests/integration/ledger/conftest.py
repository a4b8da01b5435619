"""A PostgreSQL with the schema, shared by the tests of the ledger, and the service on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import grpc
import psycopg
import pytest

from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceStub
from query_svc.config import QuerySettings
from query_svc.server import assemble
from tests.stack_fixture import RunningStack, running_stack

if TYPE_CHECKING:
    from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceAsyncStub


@pytest.fixture(scope="package")
def database() -> Iterator[RunningStack]:
    """Give a PostgreSQL with the schema, and nothing else."""
    with running_stack("ledger", only=("postgres", "database")) as running:
        yield running


@pytest.fixture
def books(database: RunningStack) -> Iterator[psycopg.Connection]:
    """Give the owner's connection to an empty schema with two items, of which MUG-1 is to be moved."""
    with psycopg.connect(database.postgres_url("owner"), autocommit=True) as connection:
        connection.execute("TRUNCATE items, locations, stock_levels, stock_movements CASCADE")
        connection.execute(
            "INSERT INTO items SELECT sku, 'Mug', '', 'PHYSICAL', 'each', '{}', '{}', '{}', '{}', 'ACTIVE',"
            " 1, now(), now() FROM unnest(ARRAY['MUG-1', 'MUG-2']) AS sku"
        )
        yield connection


@pytest.fixture
async def stub(database: RunningStack) -> AsyncIterator[StockQueryServiceAsyncStub]:
    """Give a stub of the service as its composition root makes it, without a read model."""
    settings = QuerySettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "redis_url": "redis://127.0.0.1:9/0",
            "database_url": database.postgres_url("query"),
            "connect_timeout_seconds": 1,
            "drain_seconds": 0,
        }
    )
    async with assemble(settings) as server:
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield StockQueryServiceStub(channel)
        await server.shut_down()
