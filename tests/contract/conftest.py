"""The Redis servers that the read model must work on: every one there is, alone and in a cluster."""

import time
from collections.abc import AsyncIterator, Iterator

import pytest

from query_svc.read_model import ReadModel, ReadModelWriter, connect, connect_writer
from tests.redis_server import RedisServer, binaries, free_port, redis_server

SERVERS = [f"{name} {mode}" for name in binaries() for mode in ("alone", "clustered")]


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a server. As the node of a cluster it refuses a call whose keys lie in several slots."""
    name, mode = request.param.split()
    clustered = {"cluster-enabled": "yes", "cluster-port": str(free_port())} if mode == "clustered" else {}
    with redis_server(binaries()[name], tmp_path_factory.mktemp(name), clustered) as running:
        if clustered:
            with running.client() as client:
                client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
                while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                    time.sleep(0.01)
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
