"""The months of the ledger that the tests put away."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from psycopg import sql

from tests.integration.command_svc.partitions import Connection

RETENTION = 36
JANUARY, FEBRUARY = date(2023, 1, 1), date(2023, 2, 1)
LEVELS = 40
VERSIONS = 25
ENTRIES = LEVELS * VERSIONS


def count(owner: Connection, month: date) -> int | None:
    """Return how many entries the partition of a month has; None without one."""
    name = f"stock_movements_{month:%Y%m}"
    if owner.execute("SELECT to_regclass(%s)", [name]).fetchone() == (None,):
        return None
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
    ((number,),) = owner.execute(query).fetchall()
    return int(number)


def openings(owner: Connection) -> set[tuple[int, ...]]:
    """Return the figures with which the levels begin."""
    rows = owner.execute("SELECT version, on_hand, reserved, backordered, in_transit FROM ledger_openings")
    return set(rows.fetchall())


def file_of(folder: Path, month: date) -> Path:
    """Return the place of a month's file."""
    return folder / f"stock_movements-{month:%Y-%m}.parquet"
