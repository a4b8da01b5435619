"""A thousand who watch one process: everybody is told, and what it costs is bounded."""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import AsyncExitStack

import pytest

from inventory.query.v1.stock_query_service_pb2 import WatchStockRequest
from query_svc.read_model import ReadModelWriter, connect, connect_feed
from query_svc.watch.watches import Watches
from serving.errors import CallError
from tests.redis_server import RedisServer
from tests.unit.query_svc.test_watch import CUP, MUG, Shop

WATCHES, CHANGES = 1000, 100
MEBIBYTE = 1024


async def test_a_thousand_are_told_each_change_and_no_more_are_let_in(
    redis: RedisServer, writer: ReadModelWriter
) -> None:
    shop = Shop(writer)
    await shop.open(MUG, CUP)
    asked = 0

    async def ledger(*_: object) -> list[object]:
        nonlocal asked
        asked += 1
        return []

    async with AsyncExitStack() as stack:
        feed = await stack.enter_async_context(connect_feed(redis.url, timeout=10))
        view = await stack.enter_async_context(connect(redis.url, timeout=10))
        watches = await stack.enter_async_context(
            Watches(feed, view, ledger, most_watches=WATCHES)  # type: ignore[arg-type] # never asked
        )
        requests = [
            WatchStockRequest(),
            WatchStockRequest(skus=["MUG"]),
            WatchStockRequest(location_ids=["N"]),
        ]
        streams = [watches.watch(requests[number % 3]) for number in range(WATCHES)]
        for stream in streams:
            await anext(stream)
        with pytest.raises(CallError):
            await anext(watches.watch(WatchStockRequest()))
        with redis.client() as client:
            before = int(client.info("stats")["total_commands_processed"])
        memory, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        for _ in range(CHANGES):
            await shop.change(MUG)
        seconds = time.monotonic() - began

        async def versions(number: int) -> list[int]:
            found: list[int] = []
            while len(found) < CHANGES:
                message = await anext(streams[number])
                found += [one.movement.version for one in message.changes]
            return found

        expected = list(range(2, CHANGES + 2))
        assert await asyncio.gather(*map(versions, range(WATCHES))) == [expected] * WATCHES
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        with redis.client() as client:
            commands = int(client.info("stats")["total_commands_processed"]) - before
        for stream in streams:
            await stream.aclose()
    # Who watches asks Redis nothing: what is asked does not grow with the watches.
    assert commands < 20 * CHANGES + 1000
    assert grown < 120 * MEBIBYTE
    assert asked == 0
    print(f"{grown / MEBIBYTE:.0f} MiB, {commands} commands, {seconds:.1f} s")  # noqa: T201 - if asked for
