"""The archive of the ledger: a closed month becomes a file, and leaves the database once that is proved."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path

import structlog

from command_svc import archiving, ledger_file
from command_svc.archiving import FileDiffersError
from command_svc.config import ArchiveSettings
from command_svc.store.archive import LedgerArchive, Totals, open_archive

BATCH = 20_000
"""Entries in memory at a time."""

log = structlog.get_logger()


def archive(ledger: LedgerArchive, month: date, folder: Path, retention_months: int) -> Path:
    """Write a month to a file of `folder`, prove it, drop the month; return the file.

    Can be run again after a crash at any point: a file that is there is proved again rather than written.
    Raises ArchiveRefusal, ArchiveUnavailableError, FileError and OSError; the month is in the database
    then, save that after ArchiveUnavailableError it may be dropped, its file being there and proved.
    """
    file = folder / f"stock_movements-{month:%Y-%m}.parquet"

    def write(draft: Path) -> None:
        columns = ledger.columns()
        # Closed here, for the connection is of no use to anybody before.
        with closing(ledger.rows(month, columns, BATCH)) as batches:
            ledger_file.write(draft, columns, batches)

    with archiving.leaving(month, ledger.state(month, retention_months), f"{retention_months} months"):
        expected = ledger.totals(month)
        archiving.ensure(file, write, lambda written: _prove(written, expected))
        ledger.drop(month, expected, file.name)
    log.info("month archived", month=f"{month:%Y-%m}", entries=expected.entries, file=str(file))
    return file


def main(month: str, folder: Path) -> None:
    """Archive one month, as `archiving.run` does."""

    def work(config: ArchiveSettings, first: date) -> Path:
        with open_archive(config.database_url.get_secret_value()) as ledger:
            return archive(ledger, first, folder, config.retention_months)

    archiving.run(month, work)


def _prove(file: Path, expected: Totals) -> None:
    found = ledger_file.totals(file)
    if found != expected:
        raise FileDiffersError(
            f"{file} holds {found.entries} entries (checksum {found.checksum}), the ledger {expected.entries}"
            f" (checksum {expected.checksum}): remove the file, then try again"
        )
