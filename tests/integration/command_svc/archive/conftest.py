"""A ledger with two old months, shared by the tests of its archive."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import psycopg
import pytest
from psycopg import sql

from command_svc.store.archive import LedgerArchive, open_archive
from tests.integration.command_svc.archive.months import FEBRUARY, JANUARY, LEVELS, VERSIONS
from tests.integration.command_svc.partitions import Connection
from tests.stack_fixture import RunningStack, running_stack


@pytest.fixture(scope="package")
def database() -> Iterator[RunningStack]:
    """Give a database alone."""
    with running_stack("archive", only=("postgres", "database")) as running:
        yield running


@pytest.fixture
def owner(database: RunningStack) -> Iterator[Connection]:
    """Give the owner's connection to a ledger of January and February 2023, nothing archived."""
    with psycopg.connect(database.postgres_url("owner"), autocommit=True) as connection:
        connection.execute("TRUNCATE ledger_openings, ledger_archives, stock_movements")
        connection.execute("DROP TABLE IF EXISTS stock_movements_202301, stock_movements_202302")
        for first, end in ((JANUARY, FEBRUARY), (FEBRUARY, date(2023, 3, 1))):
            add_month(connection, first, end)
        fill(connection, JANUARY, 1)
        fill(connection, FEBRUARY, VERSIONS + 1)
        yield connection


@pytest.fixture
def ledger(database: RunningStack) -> Iterator[LedgerArchive]:
    """Give the ledger as the archive sees it."""
    with open_archive(database.postgres_url("archive")) as opened:
        yield opened


def add_month(owner: Connection, first: date, end: date) -> None:
    """Make the partition of a month."""
    owner.execute(
        sql.SQL("CREATE TABLE {} PARTITION OF stock_movements FOR VALUES FROM ({}) TO ({})").format(
            sql.Identifier(f"stock_movements_{first:%Y%m}"),
            sql.Literal(f"{first} 00:00+00"),
            sql.Literal(f"{end} 00:00+00"),
        )
    )


def fill(owner: Connection, month: date, version: int) -> None:
    """Let every level receive a unit VERSIONS times in a month, from `version` on; its row follows."""
    owner.execute(
        "INSERT INTO stock_movements (sku, location_id, version, kind, reason, on_hand_delta, reserved_delta,"
        " backordered_delta, in_transit_delta, on_hand, reserved, backordered, in_transit, actor, reference,"
        " request_id, transaction_id, occur_time, record_time)"
        " SELECT 'Tasse-' || level, 'Köln', version, 'ADD', 'RECEIPT', 1, 0, 0, 0, version, 0, 0, 0,"
        " 'till 7', E'PO \"4711\"\\n\\t☕', 'r-' || level || '-' || version, uuidv7(),"
        " %(month)s::timestamptz - interval '2 days',"
        " %(month)s::timestamptz + make_interval(secs => version + 0.123456)"
        " FROM generate_series(1, %(levels)s) AS level,"
        " generate_series(%(version)s::bigint, %(version)s + %(versions)s - 1) AS version",
        {"month": f"{month} 00:00+00", "levels": LEVELS, "version": version, "versions": VERSIONS},
    )
