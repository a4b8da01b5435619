"""Measures, beside the selling, how long a query takes and how long a commit takes to be visible."""

from __future__ import annotations

import asyncio
import time
from random import Random

from client import InventoryClient, LevelNotFoundError
from demo.books import Books
from demo.commits import Commits
from demo.events import WAREHOUSE, Item, Level
from demo.measure import Latencies
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest, RemoveStockRequest
from inventory.query.v1.stock_query_service_pb2 import GetAvailabilityRequest, GetStockLevelRequest
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_CORRECTION, StockLevel

ITEM = Item("PIPELINE-PROBE", "One unit that comes and goes, to time the pipeline")
LEVEL: Level = (ITEM.sku, WAREHOUSE)

SAMPLES = 2_000
PATIENCE = 10.0
# Between two looks at the level: short against what is measured, long enough not to be the load.
LOOK_PAUSE = 0.001


class NotVisibleError(Exception):
    """A committed change did not become visible within PATIENCE seconds."""


class Probe:
    """Changes one level by one unit at a time and looks until the query service shows the change.

    From the commit, as Postgres dates it, to the answer that shows it: both read this machine's clock.
    """

    def __init__(self, client: InventoryClient, books: Books, queries: Latencies) -> None:
        self._client = client
        self._books = books
        self._queries = queries
        self._on_hand = 0
        self._seen: dict[int, float] = {}

    async def run(self, stop: asyncio.Event, pause: float, samples: int = SAMPLES) -> None:
        """Take a sample every `pause` seconds until `stop` is set, or `samples` of them are taken."""
        while not stop.is_set() and len(self._seen) < samples:
            await self.sample()
            await asyncio.sleep(pause)

    async def sample(self) -> None:
        """Change the level once and wait until that shows; raises NotVisibleError."""
        version = await self._change()
        deadline = time.monotonic() + PATIENCE
        while await self._visible_version() < version:
            if time.monotonic() > deadline:
                raise NotVisibleError(f"version {version} of {LEVEL} is not visible after {PATIENCE:.0f} s")
            await asyncio.sleep(LOOK_PAUSE)
        self._seen[version] = time.time()

    async def collect(self, commits: Commits, into: Latencies) -> None:
        """Hold the samples taken since the last time against their commits."""
        committed = await commits.commit_times(LEVEL, list(self._seen))
        for version, seen in self._seen.items():
            into.add(seen - committed[version])
        self._seen.clear()

    async def _change(self) -> int:
        sku, place = LEVEL
        reason = MOVEMENT_REASON_CORRECTION
        level: StockLevel
        if self._on_hand == 0:
            added = await self._client.add_stock(
                AddStockRequest(sku=sku, location_id=place, quantity=1, reason=reason)
            )
            self._books.enter(LEVEL, 1, added.request_id)
            level = added.level
        else:
            removed = await self._client.remove_stock(
                RemoveStockRequest(sku=sku, location_id=place, quantity=1, reason=reason)
            )
            self._books.enter(LEVEL, -1, removed.request_id)
            level = removed.level
        self._on_hand = level.on_hand
        return level.version

    async def _visible_version(self) -> int:
        sku, place = LEVEL
        try:
            with self._queries.timed():
                answer = await self._client.get_stock_level(GetStockLevelRequest(sku=sku, location_id=place))
        except LevelNotFoundError:
            return 0
        return answer.level.version


async def browse(
    client: InventoryClient, skus: list[str], queries: Latencies, stop: asyncio.Event, pause: float
) -> None:
    """Ask for the availability of an item, as shoppers do, every `pause` seconds until `stop` is set."""
    random = Random(0)  # noqa: S311 - any item will do
    while not stop.is_set():
        with queries.timed():
            await client.get_availability(GetAvailabilityRequest(sku=random.choice(skus)))
        await asyncio.sleep(pause)
