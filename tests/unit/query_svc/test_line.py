"""The way to a cluster of Redis whose nodes hang."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from query_svc.read_model.connection import open_redis
from query_svc.read_model.line import Line
from serving import tasks

NODES = 3


class Nodes:
    """Servers that take connections and answer nothing."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self._closing = asyncio.Event()
        self._servers = AsyncExitStack()

    async def start(self) -> None:
        """Listen."""
        for _ in range(NODES):
            server = await asyncio.start_server(self._take, "127.0.0.1", 0)
            await self._servers.enter_async_context(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Close every connection, and listen no more."""
        self._closing.set()
        await self._servers.aclose()

    async def _take(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._closing.wait()
        writer.close()


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    """Give nodes that hang."""
    nodes = Nodes()
    await nodes.start()
    yield nodes
    await nodes.close()


@pytest.mark.parametrize("turns", range(24))
async def test_who_leaves_takes_all_questions_along(nodes: Nodes, turns: int) -> None:
    """Whenever the call is cancelled: else a question would live on, and fail with nobody to hear it."""
    unheard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    redis = open_redis("redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in nodes.ports), timeout=20)
    line = Line(redis, timeout=20)
    asking = asyncio.create_task(line.ask([("GET", "name")]))
    for _ in range(turns):
        await asyncio.sleep(0)
    await tasks.end(asking)
    assert asking.cancelled()
    assert [task for task in asyncio.all_tasks() if "Server.ask" in repr(task.get_coro())] == []
    await line.close()
    await redis.aclose()
    gc.collect()
    assert unheard == []
