"""Partitions, the slot and the superuser, as the tests of the upkeep need them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from tests.stack_fixture import RunningStack

Connection = psycopg.Connection[tuple[Any, ...]]


def superuser(database: RunningStack) -> Connection:
    """Return a connection of the superuser to the inventory."""
    return psycopg.connect(database.postgres_url("postgres"), dbname="inventory", autocommit=True)


def make_slot(database: RunningStack, name: str = "inventory") -> None:
    """Make a slot as the connector would; it has confirmed what is in the log by now."""
    with superuser(database) as connection:
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))


def confirm(database: RunningStack) -> None:
    """Let the slot have confirmed all that is in the log by now."""
    with superuser(database) as connection:
        connection.execute("SELECT pg_replication_slot_advance('inventory', pg_current_wal_lsn())")


def today() -> date:
    """Return the day as the database counts."""
    return datetime.now(UTC).date()


def add_partition(owner: Connection, table: str, days_ago: int) -> str:
    """Make the partition of a day that is gone, and return its name."""
    day = today() - timedelta(days=days_ago)
    name = f"{table}_{day:%Y%m%d}"
    statement = sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
        sql.Identifier(name),
        sql.Identifier(table),
        sql.Literal(f"{day} 00:00+00"),
        sql.Literal(f"{day + timedelta(days=1)} 00:00+00"),
    )
    owner.execute(statement)
    return name


def old_partitions(owner: Connection) -> set[str]:
    """Return the daily partitions of days that are gone."""
    rows = owner.execute(
        "SELECT child FROM list_partitions()"
        " WHERE parent IN ('requests', 'journal') AND upper_bound <= date_trunc('day', now(), 'UTC')"
    )
    return {name for (name,) in rows}
