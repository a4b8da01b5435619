"""Crashes in the middle of the archive, and others who archive at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from command_svc.archive import archive
from command_svc.store.archive import LedgerArchive
from tests.integration.command_svc.archive.months import (
    ENTRIES,
    JANUARY,
    RETENTION,
    VERSIONS,
    count,
    file_of,
    openings,
)
from tests.integration.command_svc.partitions import Connection
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


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
