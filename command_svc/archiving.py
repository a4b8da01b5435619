"""How a month of a log of ours becomes a file, and leaves the database once that is proved."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import structlog

from command_svc.config import ArchiveSettings
from command_svc.parquet_file import FileError
from command_svc.store.archiving import ArchiveUnavailableError, MonthStateError
from serving import logs, settings

READY = "READY"
"""The state of a month that may leave."""

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


@contextmanager
def leaving(month: date, state: str, retention: str) -> Iterator[None]:
    """Go on for a month that may leave; raises ArchiveRefusal, also when the database refuses it meanwhile.

    `state` is what the database has said of it, `retention` for how long it is to stay.
    """
    if state != READY:
        raise _refusal(state, month, retention)
    try:
        yield
    except MonthStateError as error:
        raise _refusal(error.state, month, retention) from error


def ensure(file: Path, write: Callable[[Path], None], prove: Callable[[Path], None]) -> None:
    """Return when a file is there, proved and durable; one that is there is proved again.

    What is written has another name until it is proved.
    """
    if file.exists():
        prove(file)
        return
    draft = file.with_suffix(".draft")
    write(draft)
    prove(draft)
    draft.rename(file)
    _sync(file.parent)


def run(month: str, archive: Callable[[ArchiveSettings, date], Path]) -> None:
    """Archive one month; exit code 1, and the reason in the log, when it stays where it is."""
    config = settings.load(ArchiveSettings)
    logs.configure("info", "command_svc.archive")
    try:
        archive(config, parse(month))
    except (ArchiveRefusal, ArchiveUnavailableError, FileError, OSError) as error:
        # Without its traceback: what a person can act on stands in the message.
        log.error("month not archived", month=month, reason=type(error).__name__, cause=str(error))  # noqa: TRY400
        sys.exit(1)


def parse(month: str) -> date:
    """Return the first day of a month written as 2023-01; raises MonthInvalidError."""
    if not MONTH.fullmatch(month) or month.startswith("0000"):
        raise MonthInvalidError(f"{month!r} is not a month such as 2023-01")
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).date()


def _refusal(state: str, month: date, retention: str) -> ArchiveRefusal:
    kind, message = _REFUSALS[state]
    return kind(f"{month:%Y-%m}: {message.format(retention=retention)}")


def _sync(folder: Path) -> None:
    """Make the names of the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
