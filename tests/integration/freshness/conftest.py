"""The query service on a database and a view of the tests' own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import psycopg
import pytest

from query_svc.config import QuerySettings
from query_svc.read_model import connect_writer
from query_svc.server import assemble
from tests.integration.command_svc.story import Story
from tests.integration.freshness.world import World
from tests.redis_server import RedisServer, binaries, redis_server
from tests.stack_fixture import RunningStack, running_stack


@pytest.fixture(scope="package")
def database() -> Iterator[RunningStack]:
    """Give a PostgreSQL with the schema, and nothing else."""
    with running_stack("freshness", only=("postgres", "database")) as running:
        yield running


@pytest.fixture
async def story(database: RunningStack) -> AsyncIterator[Story]:
    """Give a story in an empty database."""
    with psycopg.connect(database.postgres_url("owner"), autocommit=True) as owner:
        owner.execute("TRUNCATE items, locations, orders, reservations, transfers, journal CASCADE")
    async with Story(database) as story:
        yield story


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Give a Redis, empty, which forgets all when it is killed."""
    with redis_server(binaries()["valkey"], tmp_path) as server:
        yield server


@pytest.fixture
async def world(database: RunningStack, story: Story, redis: RedisServer) -> AsyncIterator[World]:
    """Give the service as its composition root makes it."""
    async with serving(database, story, redis) as world:
        yield world


@asynccontextmanager
async def serving(
    database: RunningStack, story: Story, redis: RedisServer, **given: object
) -> AsyncIterator[World]:
    """Run the service with settings that are given beside the usual ones."""
    settings = QuerySettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "redis_url": redis.url,
            "redis_timeout_seconds": 1,
            "database_url": database.postgres_url("query"),
            "connect_timeout_seconds": 1,
            "token_wait_seconds": 0.5,
            "drain_seconds": 0,
            **given,
        }
    )
    async with assemble(settings) as server, connect_writer(redis.url) as writer:
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield World(channel, story, writer)
        await server.shut_down()
