"""What is no true copy of a month keeps the month in the database."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_svc.archive import archive
from command_svc.archiving import (
    ArchiveRefusal,
    EarlierMonthLeftError,
    FileDiffersError,
    LedgerBrokenError,
    MonthArchivedError,
    MonthMissingError,
    MonthTooRecentError,
)
from command_svc.parquet_file import FileError
from command_svc.store.archive import LedgerArchive
from command_svc.store.archiving import ArchiveUnavailableError
from tests.integration.command_svc.archive.months import (
    ENTRIES,
    FEBRUARY,
    JANUARY,
    RETENTION,
    count,
    file_of,
    openings,
)
from tests.integration.command_svc.partitions import Connection

pytestmark = pytest.mark.stack


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
