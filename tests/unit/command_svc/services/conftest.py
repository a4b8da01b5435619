"""A server of all commands on a store in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from command_svc.batcher import Batcher
from tests.unit.command_svc.memory_store import MemoryStore
from tests.unit.command_svc.services.calling import Commands, make_server


@pytest.fixture
def store() -> MemoryStore:
    """Give a store in memory."""
    return MemoryStore()


@pytest.fixture
async def commands(store: MemoryStore) -> AsyncIterator[Commands]:
    """Give the RPCs of a server, in this process, that serves all commands from the store."""
    async with Batcher(store) as batcher:
        server = make_server(batcher)
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Commands(channel)
        await server.shut_down()
