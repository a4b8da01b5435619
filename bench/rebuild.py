"""`python -m bench.rebuild`: a rebuild of a million levels (`--quick`: a tenth), beside readers and changes.

A PostgreSQL and a Valkey of its own. The rebuild is the command, a process of its own; beside it, this one
applies 200 changes a second to the view as the projector does, and reads 20 levels at a time.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path

import psycopg
import uvloop
from rich.console import Console
from rich.table import Table

from bench.cpu import usage
from query_svc.read_model import (
    Changes,
    GenerationsWriter,
    Phase,
    ReadModel,
    ReadModelRewoundError,
    connect,
    connect_generations,
    connect_generations_writer,
)
from tests.redis_server import binaries, redis_server
from tests.stack_fixture import running_stack
from tests.stock import level

PLACES = 100
CHANGES_A_SECOND = 200
SOURCE = "journal:bench"

_CATALOGUE = """
INSERT INTO locations (location_id, name, kind, region_code, postal_code, locality, address_lines, time_zone,
    priority, ships_online_orders, state, version, create_time, update_time)
SELECT 'W-' || n, 'Place', 'STORE', '', '', '', '{{}}', 'UTC', n, true, 'ACTIVE', 1, now(), now()
FROM generate_series(1, {places}) AS n;
INSERT INTO items (sku, name, description, kind, unit_of_measure, categories, tags, barcodes, metadata, state,
    version, create_time, update_time)
SELECT 'SKU-' || n, 'Item ' || n, '', 'PHYSICAL', 'each', '{{home/mugs}}', '{{}}', '{{}}', '{{}}', 'ACTIVE',
    1, now(), now()
FROM generate_series(1, {items}) AS n;
INSERT INTO stock_levels (sku, location_id, on_hand, reorder_point, version, update_time)
SELECT 'SKU-' || i, 'W-' || w, 100, CASE WHEN i % 10 = 0 THEN 200 ELSE 0 END, 1, now()
FROM generate_series(1, {items}) AS i, generate_series(1, {places}) AS w;
ANALYZE stock_levels;
"""


async def follow(writer: GenerationsWriter) -> None:
    """Apply changes as the projector does, and take up the plan every second."""
    look_at = 0.0
    for number in count(1):
        try:
            if time.monotonic() >= look_at:
                await writer.verify()
                look_at = time.monotonic() + 1
            await writer.apply(Changes(levels=[level(f"X-{number % 500}", "W-1", number)]), number)
        except ReadModelRewoundError:
            await writer.resume(SOURCE)
        await asyncio.sleep(1 / CHANGES_A_SECOND)


async def read(view: ReadModel, times: list[float]) -> None:
    """Read, and note how long each read took."""
    for number in count():
        begun = time.perf_counter()
        await view.levels([(f"X-{(number + one) % 500}", "W-1") for one in range(20)])
        times.append(time.perf_counter() - begun)
        await asyncio.sleep(0.005)


async def measure(database_url: str, redis_url: str, pids: dict[str, int]) -> Table:
    """Rebuild, and return the table. `pids` are the servers' by their names."""
    environment = os.environ | {
        "INVENTORY_CDC_DATABASE_URL": database_url,
        "INVENTORY_CDC_REDIS_URL": redis_url,
    }
    reads: dict[str, list[float]] = {"before": [], "meanwhile": []}
    seconds: dict[Phase, float] = dict.fromkeys(Phase, 0.0)
    cpu: dict[Phase, Counter[str]] = {phase: Counter() for phase in Phase}
    rows = 0
    async with (
        connect_generations_writer(redis_url) as writer,
        connect(redis_url) as view,
        connect_generations(redis_url) as generations,
    ):
        await writer.resume(SOURCE)
        following = asyncio.create_task(follow(writer))
        await asyncio.sleep(1)
        reading = asyncio.create_task(read(view, reads["before"]))
        await asyncio.sleep(5)
        reading.cancel()
        reading = asyncio.create_task(read(view, reads["meanwhile"]))
        begun = looked = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cdc", "rebuild", env=environment
        )
        ending = asyncio.create_task(process.wait())
        parts = {"rebuild": [process.pid], **{name: [pid] for name, pid in pids.items()}}
        used = usage(parts)
        while not ending.done():
            await asyncio.sleep(0.05)
            plan, now = await generations.read(), time.perf_counter()
            before, used = used, usage(parts)
            if not ending.done():
                cpu[plan.phase].update(used.since(before).parts)
            seconds[plan.phase] += now - looked
            rows = max(rows, plan.rows) if plan.phase is Phase.COMPARING else rows
            looked = now
        total = time.perf_counter() - begun
        if ending.result():
            raise RuntimeError("the rebuild stands still")
        following.cancel()
        reading.cancel()
    table = Table("what", "measured", title=f"rebuild of {rows:,} rows")
    table.add_row("whole, with its grace periods", f"{total:.1f} s")
    for phase in (Phase.FILLING, Phase.COMPARING):
        shares = ", ".join(f"{name} {spent / rows * 1e6:.1f}" for name, spent in cpu[phase].items())
        table.add_row(phase, f"{seconds[phase]:.1f} s, {rows / seconds[phase]:,.0f} rows/s")
        table.add_row(f"µs of CPU a row, {phase}", shares)
    for when, times in reads.items():
        quantiles = statistics.quantiles(times, n=100)
        table.add_row(
            f"a read of 20 levels {when}",
            f"p50 {quantiles[49] * 1e3:.1f} ms, p99 {quantiles[98] * 1e3:.1f} ms",
        )
    return table


def main() -> None:
    """Fill a database, rebuild, print."""
    items = 1000 if "--quick" in sys.argv else 10_000
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server(binaries()["valkey"], Path(folder)) as redis,
        running_stack("bench-rebuild", only=("postgres", "database")) as stack,
    ):
        with psycopg.connect(stack.postgres_url("owner")) as connection:
            connection.execute(_CATALOGUE.format(items=items, places=PLACES).encode())
        pids = {"valkey": redis.pid, "postgresql": stack.pid("postgres")}
        Console().print(uvloop.run(measure(stack.postgres_url("query"), redis.url, pids)))


if __name__ == "__main__":
    main()
