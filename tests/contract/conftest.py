"""The Redis servers that the read model must work on: every one there is."""

from collections.abc import AsyncIterator, Iterator

import pytest

from query_svc.read_model import ReadModel, ReadModelWriter, connect, connect_writer
from tests.redis_server import RedisServer, binaries, redis_server


@pytest.fixture(scope="session", params=list(binaries()))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a server."""
    folder = tmp_path_factory.mktemp(request.param)
    with redis_server(binaries()[request.param], folder) as running:
        yield running


@pytest.fixture
def fresh(server: RedisServer) -> RedisServer:
    """Give the server, empty."""
    with server.client() as client:
        client.flushall()
        client.function_flush()
    return server


@pytest.fixture
async def writer(fresh: RedisServer) -> AsyncIterator[ReadModelWriter]:
    """Give a writer to the empty server."""
    async with connect_writer(fresh.url) as writer:
        yield writer


@pytest.fixture
async def view(fresh: RedisServer) -> AsyncIterator[ReadModel]:
    """Give the read model of the empty server."""
    async with connect(fresh.url) as view:
        yield view
