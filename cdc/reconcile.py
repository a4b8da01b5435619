"""The proof that ledger, rows and read model tell the same, in bounded memory.

Walks the levels in the order of their keys, a page at a time, each page read in one snapshot. For every
level: the ledger's deltas sum up to the row, every entry follows from the one before it, versions are
dense from 1, and the read model shows the row. Then items and locations, and what the ledger or the read
model holds beyond the rows.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from cdc.config import ReconcileSettings
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import ReadModel, connect
from serving import settings

PAGE = 500
SHOWN_FAULTS = 20
RETRY_SECONDS = 0.2

_LEVELS = """
WITH page AS (
    SELECT * FROM stock_levels WHERE (sku, location_id) > (%s, %s) ORDER BY sku, location_id LIMIT %s
), steps AS (
    SELECT m.*,
        lag(m.on_hand, 1, 0::bigint) OVER w + m.on_hand_delta = m.on_hand
        AND lag(m.reserved, 1, 0::bigint) OVER w + m.reserved_delta = m.reserved
        AND lag(m.backordered, 1, 0::bigint) OVER w + m.backordered_delta = m.backordered
        AND lag(m.in_transit, 1, 0::bigint) OVER w + m.in_transit_delta = m.in_transit
        AND lag(m.version, 1, 0::bigint) OVER w + 1 = m.version AS follows
    FROM page JOIN stock_movements AS m USING (sku, location_id)
    WINDOW w AS (PARTITION BY m.sku, m.location_id ORDER BY m.version)
), ledger AS (
    SELECT sku, location_id, count(*) AS entries, bool_and(follows) AS follows,
        sum(on_hand_delta) AS on_hand, sum(reserved_delta) AS reserved,
        sum(backordered_delta) AS backordered, sum(in_transit_delta) AS in_transit
    FROM steps GROUP BY sku, location_id
)
SELECT p.sku, p.location_id,
    ARRAY[p.on_hand, p.reserved, p.backordered, p.in_transit, p.version],
    ARRAY[l.on_hand, l.reserved, l.backordered, l.in_transit, l.entries]::bigint[],
    coalesce(l.follows, false)
FROM page AS p LEFT JOIN ledger AS l USING (sku, location_id)
ORDER BY p.sku, p.location_id
"""
_ITEMS = "SELECT sku, version FROM items WHERE sku > %s ORDER BY sku LIMIT %s"
_LOCATIONS = "SELECT location_id, version FROM locations ORDER BY location_id"
_ENTRIES_WITHOUT_ROW = """
SELECT DISTINCT m.sku, m.location_id FROM stock_movements AS m
WHERE NOT EXISTS (SELECT FROM stock_levels AS l WHERE l.sku = m.sku AND l.location_id = m.location_id)
LIMIT %s
"""
_NAMES_WITHOUT_ROW = """
SELECT k.sku, k.location_id FROM unnest(%s::text[], %s::text[]) AS k (sku, location_id)
WHERE NOT EXISTS (SELECT FROM stock_levels AS l WHERE l.sku = k.sku AND l.location_id = k.location_id)
"""


@dataclass(slots=True)
class Report:
    """What was compared and what differs; of the faults, the first SHOWN_FAULTS in words."""

    levels: int = 0
    entries: int = 0
    items: int = 0
    locations: int = 0
    fault_count: int = 0
    faults: list[str] = field(default_factory=list)

    def fault(self, what: str) -> None:
        """Count a difference."""
        self.fault_count += 1
        if len(self.faults) < SHOWN_FAULTS:
            self.faults.append(what)


async def reconcile(database_url: str, view: ReadModel, *, wait: float = 0.0) -> Report:
    """Compare everything once; again, for up to `wait` seconds, while something differs.

    A view that is only behind catches up meanwhile. `database_url` is for a role that may read every table.
    Raises psycopg.Error and ReadModelUnavailableError.
    """
    deadline = time.monotonic() + wait
    while True:
        report = Report()
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = on")
            await _levels(connection, view, report)
            await _catalogue(connection, view, report)
            await _strays(connection, view, report)
        if not report.fault_count or time.monotonic() >= deadline:
            return report
        await asyncio.sleep(RETRY_SECONDS)


async def _levels(connection: psycopg.Connection, view: ReadModel, report: Report) -> None:
    for page in _pages(connection):
        shown = await view.levels([(row[0], row[1]) for row in page])
        for (sku, location_id, row, ledger, follows), level in zip(page, shown, strict=True):
            report.levels += 1
            report.entries += ledger[-1] or 0
            name = f"{sku} at {location_id}"
            if row != ledger:
                report.fault(f"{name}: the row says {row}, the ledger sums up to {ledger}")
            if not follows:
                report.fault(f"{name}: an entry of the ledger does not follow from the one before it")
            if _figures(level) != row:
                report.fault(f"{name}: the row says {row}, the read model shows {_figures(level)}")


def _pages(connection: psycopg.Connection) -> Iterator[list[tuple[Any, ...]]]:
    after = ("", "")
    while page := connection.execute(_LEVELS, (*after, PAGE)).fetchall():
        yield page
        after = (page[-1][0], page[-1][1])


def _figures(level: StockLevel | None) -> list[int] | None:
    if level is None:
        return None
    return [level.on_hand, level.reserved, level.backordered, level.in_transit, level.version]


async def _catalogue(connection: psycopg.Connection, view: ReadModel, report: Report) -> None:
    after = ""
    while page := connection.execute(_ITEMS, (after, PAGE)).fetchall():
        after = page[-1][0]
        for (sku, version), item in zip(page, await view.items([row[0] for row in page]), strict=True):
            report.items += 1
            _compare(f"item {sku}", version, item.version if item else None, report)
    shown = {location.location_id: location.version for location in await view.locations()}
    for location_id, version in connection.execute(_LOCATIONS):
        report.locations += 1
        _compare(f"location {location_id}", version, shown.pop(location_id, None), report)
    for location_id in shown:
        report.fault(f"location {location_id}: the read model shows it, there is no row")


def _compare(name: str, version: int, shown: int | None, report: Report) -> None:
    if version != shown:
        report.fault(f"{name}: the row is at version {version}, the read model at {shown}")


async def _strays(connection: psycopg.Connection, view: ReadModel, report: Report) -> None:
    for sku, location_id in connection.execute(_ENTRIES_WITHOUT_ROW, (SHOWN_FAULTS,)):
        report.fault(f"{sku} at {location_id}: the ledger has entries, there is no row")
    async for names in _bounded(view.level_names()):
        columns = [[name[0] for name in names], [name[1] for name in names]]
        for sku, location_id in connection.execute(_NAMES_WITHOUT_ROW, columns):
            report.fault(f"{sku} at {location_id}: the read model shows it, there is no row")


async def _bounded(pages: AsyncIterator[list[tuple[str, str]]]) -> AsyncIterator[Sequence[tuple[str, str]]]:
    async for page in pages:
        for start in range(0, len(page), PAGE):
            yield page[start : start + PAGE]


def print_report(report: Report) -> None:
    """Print what was compared, and the first faults."""
    console = Console()
    table = Table("compared", "number", title="ledger = rows = read model")
    for name in ("levels", "entries", "items", "locations"):
        table.add_row(name, f"{getattr(report, name):,}")
    table.add_row("differences", f"{report.fault_count:,}")
    console.print(table)
    for fault in report.faults:
        console.print(fault, markup=False)


def main(wait: float) -> None:
    """Compare and print; exit code 1 when anything differs after `wait` seconds."""
    config = settings.load(ReconcileSettings)

    async def run() -> Report:
        async with connect(config.redis_url.get_secret_value(), generation=config.generation) as view:
            return await reconcile(config.database_url.get_secret_value(), view, wait=wait)

    report = asyncio.run(run())
    print_report(report)
    sys.exit(1 if report.fault_count else 0)
