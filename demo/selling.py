"""Days of orders, sold by several tills at once, with the evening's work in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import date

from client import InventoryClient
from demo import evening
from demo.books import Books, Standing
from demo.events import Day, Level, Order, Source
from demo.levels import read_up_to_date
from demo.measure import Measurements
from demo.plan import Plan
from demo.till import Till

PATIENCE = 10.0


class Selling:
    """Carries out all the days of a source.

    run_id: begins every request id. The order's place in the source follows, so that a document whose number
    comes twice is two documents, and a repeat of a call is the same call.
    """

    def __init__(
        self, run_id: str, clients: list[InventoryClient], books: Books, measured: Measurements, plan: Plan
    ) -> None:
        self._run_id = run_id
        self._client = clients[0]
        self._tills = [Till(client, books, measured) for client in clients]
        self._books = books
        self._measured = measured
        self._plan = plan

    async def run(self, source: Source, sold: Callable[[date], None]) -> None:
        """Sell day after day; `sold` is called after each order. The time of it all is measured."""
        before, start = self._measured.commands, time.monotonic()
        number = 0
        for day in source.days():
            await self._open(day, number, sold)
            number += len(day.orders)
            await self._close(day)
        self._measured.selling_seconds = time.monotonic() - start
        self._measured.selling_commands = self._measured.commands - before

    async def _open(self, day: Day, number: int, sold: Callable[[date], None]) -> None:
        # One iterator for all: each till takes the next order when it is free.
        orders = enumerate(day.orders, start=number)
        async with asyncio.TaskGroup() as group:
            for till in self._tills:
                group.create_task(self._serve(till, orders, lambda: sold(day.date)))

    async def _serve(self, till: Till, orders: Iterator[tuple[int, Order]], sold: Callable[[], None]) -> None:
        for number, order in orders:
            await till.carry_out(order, f"{self._run_id}/{number}/{order.document}")
            sold()

    async def _close(self, day: Day) -> None:
        """Count a few shelves, then fill up what runs low, both by what the query service shows."""
        till = self._tills[0]
        touched = dict.fromkeys((line.sku, line.location_id) for order in day.orders for line in order.lines)
        seen = await self._see(list(touched)[: evening.LOOKED_AT])
        await till.batch(list(evening.count(seen)), f"{self._run_id}/count/{day.date}")
        skus = list(dict.fromkeys(sku for sku, _ in touched))
        seen = await self._see(evening.levels_of(skus))
        await till.batch(list(evening.restock(self._plan, seen, skus)), f"{self._run_id}/restock/{day.date}")

    async def _see(self, levels: list[Level]) -> dict[Level, Standing]:
        return await read_up_to_date(self._client, levels, self._books, PATIENCE)
