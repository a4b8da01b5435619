"""The way from the commit to the view, watched while a load runs: how far behind the view is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx
import psycopg

from bench.calls import PLACE
from query_svc.read_model import ReadModel
from stack.addresses import Addresses
from stack.infrastructure import CONNECTOR

LOOK_PAUSE = 0.1
PATIENCE = 60.0
POLL = 0.05


class NotCaughtUpError(Exception):
    """The view has not caught up with the commits."""


@dataclass
class Lag:
    """How far the view fell behind, in seconds: the most while the load ran, and to catch up after it."""

    longest: float = 0.0
    catching_up: float = 0.0


class Pipeline:
    """The connector and the projector of a running stack."""

    def __init__(self, at: Addresses, view: ReadModel) -> None:
        self._at = at
        self._view = view

    @asynccontextmanager
    async def watched(self, skus: Sequence[str]) -> AsyncIterator[Lag]:
        """Measure how far the levels of `skus` are behind while the block changes them all the time.

        The newest change that shows was recorded so long ago: the view is at most that much behind.
        """
        lag = Lag()
        watcher = asyncio.create_task(self._watch(skus, lag))
        try:
            yield lag
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
        start = time.monotonic()
        await self.caught_up()
        lag.catching_up = time.monotonic() - start

    async def caught_up(self) -> None:
        """Return when the view shows everything that is committed now; raises NotCaughtUpError."""
        url = self._at.postgres_url("query")
        async with await psycopg.AsyncConnection.connect(url) as connection:
            cursor = await connection.execute(
                "SELECT sku, version FROM stock_levels WHERE location_id = %s", (PLACE,)
            )
            committed: dict[str, int] = dict(await cursor.fetchall())
        deadline = time.monotonic() + PATIENCE
        while committed:
            if time.monotonic() > deadline:
                raise NotCaughtUpError(f"{len(committed)} levels are behind after {PATIENCE:.0f} s")
            some = list(committed)[:100]
            levels = await self._view.levels([(sku, PLACE) for sku in some])
            shown = [level.sku for level in levels if level and level.version >= committed[level.sku]]
            for sku in shown:
                del committed[sku]
            if len(shown) < len(some):
                await asyncio.sleep(POLL)

    async def pause(self) -> None:
        """Stop the connector: what commits now waits in the log of PostgreSQL."""
        await self._put("pause", {"PAUSED"})

    async def resume(self) -> None:
        """Start the connector again; return when the view has caught up."""
        await self._put("resume", {"RUNNING"})
        await self.caught_up()

    async def _put(self, action: str, wanted: set[str]) -> None:
        url = f"{self._at.connect_url}/connectors/{CONNECTOR}"
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(PATIENCE):
            (await client.put(f"{url}/{action}")).raise_for_status()
            while True:
                status = (await client.get(f"{url}/status")).raise_for_status().json()
                if {part["state"] for part in (status["connector"], *status["tasks"])} == wanted:
                    return
                await asyncio.sleep(POLL)

    async def _watch(self, skus: Sequence[str], lag: Lag) -> None:
        names = [(sku, PLACE) for sku in skus]
        begun = time.time()
        while True:
            levels = await self._view.levels(names)
            now = time.time()
            newest = max(
                level.update_time.seconds + level.update_time.nanos / 1e9 for level in levels if level
            )
            lag.longest = max(lag.longest, now - max(newest, begun))
            await asyncio.sleep(LOOK_PAUSE)
