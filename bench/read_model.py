"""`python -m bench.read_model`: reads through the shared connection and through redis-py's own, in one run.

A Valkey of its own, 2,000 levels, both ways in turn, several rounds; the median of the rounds counts. The
server shares the machine with the callers.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import uvloop
from redis.asyncio import BlockingConnectionPool, Redis
from rich.console import Console
from rich.table import Table

from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import Changes, connect, connect_writer
from query_svc.read_model.keys import GENERATION, Keys
from query_svc.read_model.values import unpack_level
from tests.redis_server import binaries, redis_server
from tests.stock import level

SKUS = [f"SKU-{number}" for number in range(2000)]
PLACE = "WH-1"
KEYS = Keys(GENERATION)
CALLERS = 32
ROUNDS = 5
SECONDS = 1.0

Read = Callable[[list[str]], Awaitable[object]]


async def rate(read: Read, size: int) -> tuple[float, float]:
    """Return levels read a second by CALLERS callers at once, `size` a call, and µs of CPU for each."""
    rng = random.Random(1)  # noqa: S311 - which levels are read does not matter
    end = time.perf_counter() + SECONDS
    calls = 0

    async def caller() -> None:
        nonlocal calls
        while time.perf_counter() < end:
            await read(rng.sample(SKUS, size))
            calls += 1

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    levels = calls * size
    return levels / (time.perf_counter() - began), (time.process_time() - cpu) / levels * 1e6


async def measure(url: str) -> Table:
    """Fill the server at `url` and return the table."""
    async with connect_writer(url) as writer:
        await writer.resume("bench")
        await writer.apply(Changes([level(sku, PLACE, 1) for sku in SKUS], [], []), 1)
    pool = BlockingConnectionPool.from_url(url, max_connections=CALLERS)
    async with connect(url) as view, Redis.from_pool(pool) as redis:

        async def shared(skus: list[str]) -> object:
            return await view.levels([(sku, PLACE) for sku in skus])

        async def own(skus: list[str]) -> list[StockLevel]:
            pipeline = redis.pipeline(transaction=False)
            for sku in skus:
                pipeline.hget(KEYS.levels(sku), PLACE)
            values = await pipeline.execute()
            return [unpack_level(sku, PLACE, value) for sku, value in zip(skus, values, strict=True)]

        async def own_one(skus: list[str]) -> StockLevel:
            value = cast("bytes", await redis.hget(KEYS.levels(skus[0]), PLACE))
            return unpack_level(skus[0], PLACE, value)

        table = Table("levels a call", "way", "levels/s", "µs of CPU each", "ratio, round by round")
        for size, theirs in ((1, own_one), (100, own)):
            rounds = [(await rate(shared, size), await rate(theirs, size)) for _ in range(ROUNDS)]
            ratio = statistics.median(ours[0] / other[0] for ours, other in rounds)
            for way, index in (("shared connection", 0), ("redis-py", 1)):
                speed = statistics.median(one[index][0] for one in rounds)
                cpu = statistics.median(one[index][1] for one in rounds)
                table.add_row(str(size), way, f"{speed:,.0f}", f"{cpu:.1f}", "" if index else f"{ratio:.1f}")
    return table


def main() -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server(binaries()["valkey"], Path(folder), {}) as server,
    ):
        Console().print(uvloop.run(measure(server.url)))


if __name__ == "__main__":
    main()
