"""A month that is archived is a file that holds every column, and leaves the database."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from psycopg import sql

from command_svc.archive import archive
from command_svc.parquet_file import FileError
from command_svc.store.archive import LedgerArchive
from tests.integration.command_svc.archive.months import (
    ENTRIES,
    FEBRUARY,
    JANUARY,
    RETENTION,
    VERSIONS,
    count,
    file_of,
    openings,
)
from tests.integration.command_svc.partitions import Connection

pytestmark = pytest.mark.stack


def test_a_month_becomes_a_file_that_holds_every_column_and_leaves_the_database(
    owner: Connection, ledger: LedgerArchive, tmp_path: Path
) -> None:
    cursor = owner.execute("SELECT * FROM stock_movements_202301 ORDER BY sku, location_id, version")
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    expected = [
        {
            name: str(value) if name == "transaction_id" else value
            for name, value in zip(names, row, strict=True)
        }
        for row in cursor.fetchall()
    ]
    file = archive(ledger, JANUARY, tmp_path, RETENTION)
    assert file == file_of(tmp_path, JANUARY)
    assert pq.read_table(file).select(names).to_pylist() == expected
    assert list(tmp_path.iterdir()) == [file]
    assert count(owner, JANUARY) is None
    assert count(owner, FEBRUARY) == ENTRIES
    assert openings(owner) == {(VERSIONS, VERSIONS, 0, 0, 0)}
    kept = owner.execute("SELECT month, entries, file FROM ledger_archives").fetchall()
    assert kept == [(JANUARY, ENTRIES, file.name)]

    archive(ledger, FEBRUARY, tmp_path, RETENTION)
    assert openings(owner) == {(2 * VERSIONS, 2 * VERSIONS, 0, 0, 0)}


def test_a_month_without_entries_has_a_file_too(
    owner: Connection, ledger: LedgerArchive, tmp_path: Path
) -> None:
    owner.execute("TRUNCATE stock_movements_202301, stock_movements_202302")
    assert pq.read_table(archive(ledger, JANUARY, tmp_path, RETENTION)).num_rows == 0
    assert count(owner, JANUARY) is None
    assert openings(owner) == set()


def test_a_file_restores_the_month_to_the_letter(
    owner: Connection, ledger: LedgerArchive, tmp_path: Path
) -> None:
    """As docs/operations.md tells it: into a table beside the ledger."""
    before = owner.execute("SELECT * FROM stock_movements_202301 ORDER BY sku, version").fetchall()
    file = archive(ledger, JANUARY, tmp_path, RETENTION)
    with owner.transaction(), owner.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE restored (LIKE stock_movements) ON COMMIT DROP")
        table = pq.read_table(file)
        columns = sql.SQL(", ").join(map(sql.Identifier, table.column_names))
        with cursor.copy(sql.SQL("COPY restored ({}) FROM STDIN").format(columns)) as copy:
            for row in table.to_pylist():
                copy.write_row(list(row.values()))
        assert cursor.execute("SELECT * FROM restored ORDER BY sku, version").fetchall() == before


def test_columns_that_the_ledger_gets_later_are_archived_too(
    owner: Connection, ledger: LedgerArchive, tmp_path: Path
) -> None:
    owner.execute(
        "ALTER TABLE stock_movements ADD COLUMN later_text text NOT NULL DEFAULT 'L-1',"
        " ADD COLUMN later_date date DEFAULT '2023-06-30', ADD COLUMN later_flag boolean DEFAULT true,"
        " ADD COLUMN later_number integer"
    )
    try:
        file = archive(ledger, JANUARY, tmp_path, RETENTION)
    finally:
        owner.execute(
            "ALTER TABLE stock_movements DROP COLUMN later_text, DROP COLUMN later_date,"
            " DROP COLUMN later_flag, DROP COLUMN later_number"
        )
    row = pq.read_table(file).slice(0, 1).to_pylist()[0]
    later = [row[f"later_{name}"] for name in ("text", "date", "flag", "number")]
    assert later == ["L-1", date(2023, 6, 30), True, None]
    assert count(owner, JANUARY) is None


def test_a_type_the_archive_does_not_know_keeps_the_month(
    owner: Connection, ledger: LedgerArchive, tmp_path: Path
) -> None:
    owner.execute("ALTER TABLE stock_movements ADD COLUMN later_shape point")
    try:
        with pytest.raises(FileError, match="later_shape has type point"):
            archive(ledger, JANUARY, tmp_path, RETENTION)
    finally:
        owner.execute("ALTER TABLE stock_movements DROP COLUMN later_shape")
    assert count(owner, JANUARY) == ENTRIES
