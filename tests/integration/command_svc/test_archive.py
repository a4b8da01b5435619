"""The archive of the ledger on the real database: a month leaves it only when a file is proved to hold it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from command_svc.archive import (
    ArchiveRefusal,
    EarlierMonthLeftError,
    FileDiffersError,
    LedgerBrokenError,
    MonthArchivedError,
    MonthMissingError,
    MonthTooRecentError,
    archive,
)
from command_svc.ledger_file import FileError
from command_svc.store.archive import ArchiveUnavailableError, LedgerArchive, open_archive
from tests.integration.command_svc.partitions import Connection
from tests.stack_fixture import RunningStack, running_stack

pytestmark = pytest.mark.stack

RETENTION = 36
JANUARY, FEBRUARY = date(2023, 1, 1), date(2023, 2, 1)
LEVELS = 40
VERSIONS = 25
ENTRIES = LEVELS * VERSIONS


@pytest.fixture(scope="module")
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


# What is archived


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


# What is not


def cut(file: Path) -> None:
    """Lose the end of a file, as a full disk or a crash does."""
    os.truncate(file, file.stat().st_size - 100)


def flip(file: Path) -> None:
    """Turn one bit of the data."""
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)


def lose_an_entry(file: Path) -> None:
    """Write a whole file that holds an entry less."""
    pq.write_table(pq.read_table(file).slice(1), file)


def double_an_entry(file: Path) -> None:
    """Write a whole file of the right number of entries, one of them twice, another one lost."""
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table.slice(0, 1), table.slice(0, 1), table.slice(2)]), file)


def change_a_figure(file: Path) -> None:
    """Write a whole file in which one entry has another reference."""
    table = pq.read_table(file)
    place = table.schema.get_field_index("reference")
    values = ["PO 1", *table.column("reference").to_pylist()[1:]]
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(values)), file)


def lose_a_column(file: Path) -> None:
    """Write a whole file without one of the columns."""
    pq.write_table(pq.read_table(file).drop_columns(["actor"]), file)


@pytest.mark.parametrize(
    "damage", [cut, flip, lose_an_entry, double_an_entry, change_a_figure, lose_a_column]
)
def test_a_file_that_is_not_the_month_keeps_the_month(
    owner: Connection, ledger: LedgerArchive, tmp_path: Path, damage: object
) -> None:
    """The file is there after an export whose drop failed; then it is hurt."""
    file = exported(owner, ledger, tmp_path)
    assert callable(damage)
    damage(file)
    with pytest.raises((FileError, FileDiffersError)):
        archive(ledger, JANUARY, tmp_path, RETENTION)
    assert count(owner, JANUARY) == ENTRIES
    assert openings(owner) == set()
    file.unlink()
    archive(ledger, JANUARY, tmp_path, RETENTION)
    assert count(owner, JANUARY) is None


def exported(owner: Connection, ledger: LedgerArchive, folder: Path) -> Path:
    """Archive January up to the drop, which a writer's lock prevents; return the file."""
    with owner.transaction():
        owner.execute("LOCK TABLE stock_movements_202301 IN ROW EXCLUSIVE MODE")
        with pytest.raises(ArchiveUnavailableError, match="lock timeout"):
            archive(ledger, JANUARY, folder, RETENTION)
    assert count(owner, JANUARY) == ENTRIES
    return file_of(folder, JANUARY)


def test_a_disk_that_loses_data_while_it_writes_keeps_the_month(
    owner: Connection, ledger: LedgerArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read back counts, not what was written."""
    sync = os.fsync

    def hurt(descriptor: int) -> None:
        sync(descriptor)
        (draft,) = tmp_path.iterdir()
        flip(draft)

    monkeypatch.setattr(os, "fsync", hurt)
    with pytest.raises((FileError, FileDiffersError)):
        archive(ledger, JANUARY, tmp_path, RETENTION)
    assert count(owner, JANUARY) == ENTRIES
    assert not file_of(tmp_path, JANUARY).exists()


def test_an_entry_that_comes_after_the_export_keeps_the_month(
    owner: Connection, ledger: LedgerArchive, tmp_path: Path
) -> None:
    totals = ledger.totals(JANUARY)
    owner.execute(
        "UPDATE stock_movements_202301 SET actor = 'somebody' WHERE sku = 'Tasse-1' AND version = 1"
    )
    assert ledger.totals(JANUARY) != totals
    with pytest.raises(Exception, match="DIFFERS"):
        ledger.drop(JANUARY, totals, "some.parquet")
    assert count(owner, JANUARY) == ENTRIES
    assert file_of(tmp_path, JANUARY).exists() is False


@pytest.mark.parametrize(
    "fault",
    [
        "DELETE FROM stock_movements_202301 WHERE sku = 'Tasse-1' AND version = 3",
        "UPDATE stock_movements_202301 SET on_hand_delta = 2 WHERE sku = 'Tasse-1' AND version = 3",
        "UPDATE stock_movements_202301 SET on_hand = 0 WHERE sku = 'Tasse-1' AND version = 25",
    ],
)
def test_a_broken_ledger_is_not_put_away(
    owner: Connection, ledger: LedgerArchive, tmp_path: Path, fault: str
) -> None:
    owner.execute(fault.encode())
    before = count(owner, JANUARY)
    with pytest.raises(LedgerBrokenError):
        archive(ledger, JANUARY, tmp_path, RETENTION)
    assert count(owner, JANUARY) == before
    assert openings(owner) == set()


def test_months_leave_in_order_once_and_not_too_early(
    owner: Connection, ledger: LedgerArchive, tmp_path: Path
) -> None:
    def refused(month: date, retention: int = RETENTION) -> type[ArchiveRefusal]:
        with pytest.raises(ArchiveRefusal) as refusal:
            archive(ledger, month, tmp_path, retention)
        return refusal.type

    now = datetime.now(UTC).date().replace(day=1)
    assert refused(now) is MonthTooRecentError
    assert refused(now.replace(year=now.year - 1), 1) is MonthTooRecentError  # never less than twelve months
    assert refused(JANUARY, 240) is MonthTooRecentError
    assert refused(date(2022, 12, 1)) is MonthMissingError
    assert refused(FEBRUARY) is EarlierMonthLeftError
    archive(ledger, JANUARY, tmp_path, RETENTION)
    assert refused(JANUARY) is MonthArchivedError
    assert count(owner, FEBRUARY) == ENTRIES


# Crashes and company


def command(database: RunningStack, folder: Path) -> subprocess.Popen[bytes]:
    """Start the command that archives January."""
    return subprocess.Popen(  # noqa: S603 - a command of our own
        [sys.executable, "-m", "command_svc", "archive", "--month", "2023-01", "--folder", str(folder)],
        env=os.environ | {"INVENTORY_ARCHIVE_DATABASE_URL": database.postgres_url("archive")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_until(owner: Connection, query: bytes) -> None:
    """Wait until a query answers true."""
    deadline = time.monotonic() + 20
    while owner.execute(query).fetchone() != (True,):
        assert time.monotonic() < deadline, query
        time.sleep(0.05)


def test_a_crash_between_export_and_drop_is_taken_up_again(
    database: RunningStack, owner: Connection, tmp_path: Path
) -> None:
    with psycopg.connect(database.postgres_url("query")) as reader:
        # Whoever reads the ledger keeps the partition where it is.
        reader.execute("SELECT count(*) FROM stock_movements")
        archiver = command(database, tmp_path)
        wait_until(
            owner,
            b"SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'ShareLock'"
            b" AND relation = 'stock_movements_202301'::regclass)",
        )
        archiver.send_signal(signal.SIGKILL)
        archiver.communicate(timeout=10)
        # The database notices that nobody waits for the answer any more, and lets go of it.
        wait_until(
            owner, b"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'inventory_archive')"
        )
    assert count(owner, JANUARY) == ENTRIES
    assert openings(owner) == set()
    file = file_of(tmp_path, JANUARY)
    written = file.stat()

    again = command(database, tmp_path)
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0, output.decode()
    assert count(owner, JANUARY) is None
    assert openings(owner) == {(VERSIONS, VERSIONS, 0, 0, 0)}
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)

    once_more = command(database, tmp_path)
    output, _ = once_more.communicate(timeout=60)
    assert once_more.returncode == 1
    assert b"MonthArchivedError" in output
    assert file.exists()


def test_a_crash_while_the_file_is_written_leaves_a_draft_that_counts_for_nothing(
    owner: Connection, ledger: LedgerArchive, tmp_path: Path
) -> None:
    file_of(tmp_path, JANUARY).with_suffix(".draft").write_bytes(b"PAR1 and no more")
    file = archive(ledger, JANUARY, tmp_path, RETENTION)
    assert pq.read_table(file).num_rows == ENTRIES
    assert list(tmp_path.iterdir()) == [file]
    assert count(owner, JANUARY) is None


def test_one_archives_at_a_time(
    database: RunningStack, owner: Connection, ledger: LedgerArchive, tmp_path: Path
) -> None:
    second = command(database, tmp_path)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert b"somebody else is archiving" in output
    assert count(owner, JANUARY) == ENTRIES
    assert ledger.state(JANUARY, RETENTION) == "READY"
