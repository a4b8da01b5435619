"""The proof that ledger, rows and read model tell the same, in bounded memory and beside live traffic.

Walks the levels in the order of their keys, a page at a time, each page read in one snapshot. For every
level: the ledger's deltas sum up to the row, every entry follows from the one before it, versions are
dense from 1 (both counted from the level's opening where older entries are archived), and the read model
shows the row. Then items and locations, and what the ledger or the read model holds beyond the rows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import LiteralString, TypeVar

import psycopg
from psycopg.rows import dict_row

from cdc.comparison import SHOWN_FAULTS, Report, figures, ledger_faults, view_fault
from inventory.type.v1.item_pb2 import Item
from inventory.type.v1.location_pb2 import Location
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import ReadModel
from query_svc.rows import Row, item_of, level_of, location_of

__all__ = ["Report", "reconcile"]

PAGE = 500
RETRY_SECONDS = 0.1

# The ledger of a level begins at its opening where older entries are archived, else at nothing.
_LEVELS = """
WITH page AS (
    SELECT * FROM stock_levels WHERE (sku, location_id) > (%s, %s) ORDER BY sku, location_id LIMIT %s
), openings AS (
    SELECT p.sku, p.location_id, coalesce(o.on_hand, 0) AS on_hand, coalesce(o.reserved, 0) AS reserved,
        coalesce(o.backordered, 0) AS backordered, coalesce(o.in_transit, 0) AS in_transit,
        coalesce(o.version, 0) AS version
    FROM page AS p LEFT JOIN ledger_openings AS o USING (sku, location_id)
), steps AS (
    SELECT m.*,
        lag(m.on_hand, 1, o.on_hand) OVER w + m.on_hand_delta = m.on_hand
        AND lag(m.reserved, 1, o.reserved) OVER w + m.reserved_delta = m.reserved
        AND lag(m.backordered, 1, o.backordered) OVER w + m.backordered_delta = m.backordered
        AND lag(m.in_transit, 1, o.in_transit) OVER w + m.in_transit_delta = m.in_transit
        AND lag(m.version, 1, o.version) OVER w + 1 = m.version AS follows
    FROM openings AS o JOIN stock_movements AS m USING (sku, location_id)
    WINDOW w AS (PARTITION BY m.sku, m.location_id ORDER BY m.version)
), ledger AS (
    SELECT sku, location_id, count(*) AS entries, min(version) FILTER (WHERE NOT follows) AS broken_at,
        sum(on_hand_delta) AS on_hand, sum(reserved_delta) AS reserved,
        sum(backordered_delta) AS backordered, sum(in_transit_delta) AS in_transit
    FROM steps GROUP BY sku, location_id
)
SELECT p.*, coalesce(l.entries, 0) AS entries, l.broken_at,
    ARRAY[o.on_hand + coalesce(l.on_hand, 0), o.reserved + coalesce(l.reserved, 0),
        o.backordered + coalesce(l.backordered, 0), o.in_transit + coalesce(l.in_transit, 0),
        o.version + coalesce(l.entries, 0)]::bigint[] AS sums
FROM page AS p JOIN openings AS o USING (sku, location_id) LEFT JOIN ledger AS l USING (sku, location_id)
ORDER BY p.sku, p.location_id
"""
_ENTRIES_AT = """
SELECT m.sku, m.location_id, ARRAY[m.on_hand, m.reserved, m.backordered, m.in_transit, m.version] AS figures
FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS k (sku, location_id, version)
JOIN stock_movements AS m USING (sku, location_id, version)
"""
_ITEMS = "SELECT * FROM items WHERE sku > %s ORDER BY sku LIMIT %s"
_ITEMS_AGAIN = "SELECT * FROM items WHERE sku = ANY(%s)"
_LOCATIONS = "SELECT * FROM locations WHERE location_id > %s ORDER BY location_id LIMIT %s"
_LOCATIONS_AGAIN = "SELECT * FROM locations WHERE location_id = ANY(%s)"
_ENTRIES_WITHOUT_ROW = """
SELECT m.sku, m.location_id, count(*) AS entries
FROM (
    SELECT sku, location_id FROM stock_movements
    UNION ALL SELECT sku, location_id FROM ledger_openings
) AS m
WHERE NOT EXISTS (SELECT FROM stock_levels AS l WHERE l.sku = m.sku AND l.location_id = m.location_id)
GROUP BY m.sku, m.location_id ORDER BY m.sku, m.location_id LIMIT %s
"""
_LEVELS_WITHOUT_ROW = """
SELECT k.sku, k.location_id FROM unnest(%s::text[], %s::text[]) AS k (sku, location_id)
WHERE NOT EXISTS (SELECT FROM stock_levels AS l WHERE l.sku = k.sku AND l.location_id = k.location_id)
"""
_ITEMS_WITHOUT_ROW = """
SELECT sku FROM unnest(%s::text[]) AS k (sku) WHERE NOT EXISTS (SELECT FROM items AS i WHERE i.sku = k.sku)
"""
_LOCATIONS_WITHOUT_ROW = """
SELECT location_id FROM unnest(%s::text[]) AS k (location_id)
WHERE NOT EXISTS (SELECT FROM locations AS l WHERE l.location_id = k.location_id)
"""

K = TypeVar("K", str, tuple[str, str])
M = TypeVar("M", StockLevel, Item, Location)


async def reconcile(database_url: str, view: ReadModel, *, wait: float = 0.0) -> Report:
    """Compare everything once, and report.

    Where the read model is only behind a row, it gets until `wait` seconds from the start to come up to it.
    Where it is ahead, because the row has changed since it was read, the ledger or the row as it is now must
    confirm what it shows. So this can run beside any traffic. `database_url` is for a role that may read
    every table. Raises psycopg.Error and ReadModelUnavailableError.
    """
    connection = await psycopg.AsyncConnection[Row].connect(
        database_url, autocommit=True, row_factory=dict_row, options="-c default_transaction_read_only=on"
    )
    async with connection:
        run = _Run(connection, view, time.monotonic() + wait)
        await run.levels()
        await run.items()
        await run.locations()
        await run.strays()
    return run.report


class _Run:
    """One comparison of everything, with its report."""

    def __init__(self, connection: psycopg.AsyncConnection[Row], view: ReadModel, deadline: float) -> None:
        self.report = Report()
        self._connection = connection
        self._view = view
        self._deadline = deadline

    async def levels(self) -> None:
        """Compare the rows of levels with the ledger and with the read model."""
        after = ("", "")
        while rows := await self._rows(_LEVELS, *after, PAGE):
            expected = {(row["sku"], row["location_id"]): level_of(row) for row in rows}
            for row, (name, level) in zip(rows, expected.items(), strict=True):
                self.report.levels += 1
                self.report.entries += row["entries"]
                for fault in ledger_faults(row, level):
                    self.report.fault(f"{_at(name)}: {fault}")
            await self._compare(expected, self._view.levels, self._entries_confirm, _at)
            after = (rows[-1]["sku"], rows[-1]["location_id"])

    async def items(self) -> None:
        """Compare the rows of items with the read model."""
        after = ""
        while rows := await self._rows(_ITEMS, after, PAGE):
            self.report.items += len(rows)
            expected = {row["sku"]: item_of(row) for row in rows}
            await self._compare(expected, self._view.items, self._items_confirm, "item {}".format)
            after = rows[-1]["sku"]

    async def locations(self) -> None:
        """Compare the rows of locations with the read model."""
        after = ""
        while rows := await self._rows(_LOCATIONS, after, PAGE):
            self.report.locations += len(rows)
            expected = {row["location_id"]: location_of(row) for row in rows}
            await self._compare(expected, self._locations, self._locations_confirm, "location {}".format)
            after = rows[-1]["location_id"]

    async def strays(self) -> None:
        """Look for what the ledger or the read model holds without a row."""
        for row in await self._rows(_ENTRIES_WITHOUT_ROW, SHOWN_FAULTS):
            name = _at((row["sku"], row["location_id"]))
            self.report.fault(f"{name}: the ledger has {row['entries']} entries, there is no row")
        async for names in self._view.level_names():
            columns = [[name[0] for name in names], [name[1] for name in names]]
            for row in await self._rows(_LEVELS_WITHOUT_ROW, *columns):
                self._without_row(_at((row["sku"], row["location_id"])))
        async for skus in self._view.skus():
            for row in await self._rows(_ITEMS_WITHOUT_ROW, skus):
                self._without_row(f"item {row['sku']}")
        location_ids = [location.location_id for location in await self._view.locations()]
        for row in await self._rows(_LOCATIONS_WITHOUT_ROW, location_ids):
            self._without_row(f"location {row['location_id']}")

    def _without_row(self, name: str) -> None:
        self.report.fault(f"{name}: the read model shows it, there is no row")

    async def _compare(
        self,
        expected: dict[K, M],
        show: Callable[[list[K]], Awaitable[list[M | None]]],
        confirm: Callable[[dict[K, M]], Awaitable[Collection[K]]],
        name: Callable[[K], str],
    ) -> None:
        """Compare rows with what the read model shows, until none of them is ahead of it any more."""
        while expected:
            shown = dict(zip(expected, await show(list(expected)), strict=True))
            versions = {key: seen.version if seen else 0 for key, seen in shown.items()}
            behind = {key for key, row in expected.items() if versions[key] < row.version}
            ahead = {
                key: seen for key, seen in shown.items() if seen and seen.version > expected[key].version
            }
            fine = set(await confirm(ahead)) if ahead else set()
            if patient := time.monotonic() < self._deadline:
                fine |= behind
            for key, row in expected.items():
                if shown[key] != row and key not in fine:
                    self.report.fault(f"{name(key)}: {view_fault(row, shown[key])}")
            expected = {key: expected[key] for key in behind} if patient else {}
            if expected:
                await asyncio.sleep(RETRY_SECONDS)

    async def _entries_confirm(self, ahead: dict[tuple[str, str], StockLevel]) -> Collection[tuple[str, str]]:
        """Return the levels that stand as the ledger's entry of their version left them."""
        levels = ahead.values()
        rows = await self._rows(
            _ENTRIES_AT,
            [level.sku for level in levels],
            [level.location_id for level in levels],
            [level.version for level in levels],
        )
        entries = {(row["sku"], row["location_id"]): row["figures"] for row in rows}
        return {name for name, level in ahead.items() if entries.get(name) == figures(level)}

    async def _items_confirm(self, ahead: dict[str, Item]) -> Collection[str]:
        """Return the items that stand as their row does now, or did before."""
        rows = {row["sku"]: item_of(row) for row in await self._rows(_ITEMS_AGAIN, list(ahead))}
        return {sku for sku, row in rows.items() if row == ahead[sku] or row.version > ahead[sku].version}

    async def _locations_confirm(self, ahead: dict[str, Location]) -> Collection[str]:
        """Return the locations that stand as their row does now, or did before."""
        found = await self._rows(_LOCATIONS_AGAIN, list(ahead))
        rows = {row["location_id"]: location_of(row) for row in found}
        return {name for name, row in rows.items() if row == ahead[name] or row.version > ahead[name].version}

    async def _locations(self, location_ids: list[str]) -> list[Location | None]:
        found = {location.location_id: location for location in await self._view.locations()}
        return [found.get(location_id) for location_id in location_ids]

    async def _rows(self, statement: LiteralString, *parameters: object) -> list[Row]:
        cursor = await self._connection.execute(statement, parameters)
        return await cursor.fetchall()


def _at(name: tuple[str, str]) -> str:
    return f"{name[0]} at {name[1]}"
