"""The archive of the ledger: a closed month becomes a file, and leaves the database once that is proved."""

from __future__ import annotations

import os
import re
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import structlog

from command_svc import ledger_file
from command_svc.config import ArchiveSettings
from command_svc.ledger_file import FileError
from command_svc.store.archive import (
    ArchiveUnavailableError,
    LedgerArchive,
    MonthStateError,
    Totals,
    open_archive,
)
from serving import logs, settings

BATCH = 20_000
"""Entries in memory at a time."""

MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")

log = structlog.get_logger()


class ArchiveRefusal(Exception):  # noqa: N818 - as the refusals of the domain: an answer, not a fault
    """The month stays where it is; the message says why, and what to do. The class is the reason."""


class MonthInvalidError(ArchiveRefusal):
    """It is not a month."""


class MonthTooRecentError(ArchiveRefusal):
    """It has not ended, or not so long ago that it may leave."""


class MonthMissingError(ArchiveRefusal):
    """The ledger has no such month."""


class MonthArchivedError(ArchiveRefusal):
    """It is archived already."""


class EarlierMonthLeftError(ArchiveRefusal):
    """An earlier month is there still: the ledger is archived from its beginning."""


class LedgerBrokenError(ArchiveRefusal):
    """The entries of the month do not follow from one another: a fault to look into, not to put away."""


class FileDiffersError(ArchiveRefusal):
    """The file does not hold what the ledger holds."""


_REFUSALS: dict[str, tuple[type[ArchiveRefusal], str]] = {
    "TOO_RECENT": (MonthTooRecentError, "it has not ended at least {retention} ago"),
    "MISSING": (MonthMissingError, "there is no partition for it"),
    "ARCHIVED": (
        MonthArchivedError,
        "it is archived already: see the tables ledger_archives and audit_archives for its file",
    ),
    "EARLIER_MONTH_LEFT": (
        EarlierMonthLeftError,
        "an earlier month is still there: archive that first",
    ),
    "BROKEN": (LedgerBrokenError, "its entries do not follow from one another: run `make reconcile`"),
    "DIFFERS": (
        FileDiffersError,
        "it has changed since its file was written: find out why",
    ),
}


def archive(ledger: LedgerArchive, month: date, folder: Path, retention_months: int) -> Path:
    """Write a month to a file of `folder`, prove it, drop the month; return the file.

    Can be run again after a crash at any point: a file that is there is proved again rather than written.
    Raises ArchiveRefusal, ArchiveUnavailableError, FileError and OSError; the month is in the database
    then, save that after ArchiveUnavailableError it may be dropped, its file being there and proved.
    """
    state = ledger.state(month, retention_months)
    if state != "READY":
        raise refusal(state, month, f"{retention_months} months")
    expected = ledger.totals(month)
    file = folder / f"stock_movements-{month:%Y-%m}.parquet"
    if file.exists():
        _prove(file, expected)
    else:
        draft = file.with_suffix(".draft")
        columns = ledger.columns()
        # Closed here, for the connection is of no use to anybody before.
        with closing(ledger.rows(month, columns, BATCH)) as batches:
            ledger_file.write(draft, columns, batches)
        _prove(draft, expected)
        draft.rename(file)
        sync(folder)
    try:
        ledger.drop(month, expected, file.name)
    except MonthStateError as error:
        raise refusal(error.state, month, f"{retention_months} months") from error
    log.info("month archived", month=f"{month:%Y-%m}", entries=expected.entries, file=str(file))
    return file


def main(month: str, folder: Path) -> None:
    """Archive one month; exit code 1, and the reason in the log, when it stays where it is."""
    config = settings.load(ArchiveSettings)
    logs.configure("info", "command_svc.archive")
    try:
        with open_archive(config.database_url.get_secret_value()) as ledger:
            archive(ledger, parse(month), folder, config.retention_months)
    except (ArchiveRefusal, ArchiveUnavailableError, FileError, OSError) as error:
        # Without its traceback: what a person can act on stands in the message.
        log.error("month not archived", month=month, reason=type(error).__name__, cause=str(error))  # noqa: TRY400
        sys.exit(1)


def parse(month: str) -> date:
    """Return the first day of a month written as 2023-01; raises MonthInvalidError."""
    if not MONTH.fullmatch(month) or month.startswith("0000"):
        raise MonthInvalidError(f"{month!r} is not a month such as 2023-01")
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).date()


def refusal(state: str, month: date, retention: str) -> ArchiveRefusal:
    """Return why a month stays, by the state that the database tells."""
    kind, message = _REFUSALS[state]
    return kind(f"{month:%Y-%m}: {message.format(retention=retention)}")


def _prove(file: Path, expected: Totals) -> None:
    found = ledger_file.totals(file)
    if found != expected:
        raise FileDiffersError(
            f"{file} holds {found.entries} entries (checksum {found.checksum}), the ledger {expected.entries}"
            f" (checksum {expected.checksum}): remove the file, then try again"
        )


def sync(folder: Path) -> None:
    """Make the names of the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
