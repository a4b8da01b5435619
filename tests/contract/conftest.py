"""The Redis servers that the read model must work on: every one there is, alone and in a cluster of three."""

from collections.abc import AsyncIterator, Iterator

import pytest

from query_svc.read_model import ReadModel, ReadModelWriter, connect, connect_writer
from tests.redis_cluster import Servers, redis_cluster
from tests.redis_server import binaries, redis_server

SERVERS = [f"{name} {mode}" for name in binaries() for mode in ("alone", "clustered")]


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Give a server, or a cluster."""
    name, mode = request.param.split()
    run = redis_cluster if mode == "clustered" else redis_server
    with run(binaries()[name], tmp_path_factory.mktemp(name)) as running:
        yield running


@pytest.fixture
def fresh(server: Servers) -> Servers:
    """Give the server, empty."""
    with server.client() as client:
        client.flushall()
        client.function_flush()
    return server


@pytest.fixture
async def writer(fresh: Servers) -> AsyncIterator[ReadModelWriter]:
    """Give a writer to the empty server."""
    async with connect_writer(fresh.url) as writer:
        yield writer


@pytest.fixture
async def view(fresh: Servers) -> AsyncIterator[ReadModel]:
    """Give the read model of the empty server."""
    async with connect(fresh.url) as view:
        yield view
