"""Reads levels back from the query service, many at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable

from client import InventoryClient
from demo.books import Books, Standing
from demo.events import Level
from inventory.query.v1.stock_query_service_pb2 import BatchGetStockLevelsRequest
from inventory.type.v1.stock_pb2 import LevelName

PAGE = 500
PAUSE = 0.005


async def read(client: InventoryClient, levels: Iterable[Level]) -> dict[Level, Standing]:
    """Return where the levels stand; those that have never been stocked are left out."""
    wanted = list(levels)
    found: dict[Level, Standing] = {}
    for first in range(0, len(wanted), PAGE):
        names = [LevelName(sku=sku, location_id=place) for sku, place in wanted[first : first + PAGE]]
        answer = await client.batch_get_stock_levels(BatchGetStockLevelsRequest(names=names))
        for level in answer.levels:
            found[level.sku, level.location_id] = Standing(level.on_hand, level.version)
    return found


async def read_up_to_date(
    client: InventoryClient, levels: Collection[Level], books: Books, patience: float
) -> dict[Level, Standing]:
    """Return where the levels stand once each has reached the version the books expect.

    Levels that do not get there within `patience` seconds are returned as they were last seen.
    """
    deadline = time.monotonic() + patience
    found: dict[Level, Standing] = {}
    behind: Collection[Level] = levels
    while True:
        found |= await read(client, behind)
        behind = [
            level for level in behind if found.get(level, Standing()).version < books.expected(level).version
        ]
        if not behind or time.monotonic() > deadline:
            return found
        await asyncio.sleep(PAUSE)
