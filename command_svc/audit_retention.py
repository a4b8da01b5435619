"""The retention of the audit log: an old month becomes a file that proves itself, and leaves the database."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import date
from pathlib import Path

import structlog

from command_svc import audit_file
from command_svc.archive import ArchiveRefusal, FileDiffersError, parse, refusal, sync
from command_svc.config import ArchiveSettings
from command_svc.ledger_file import FileError
from command_svc.store.archive import ArchiveUnavailableError, MonthStateError
from command_svc.store.audit_archive import AuditArchive, Head, open_audit_archive
from serving import logs, settings

BATCH = 5000
"""Entries in memory at a time."""

log = structlog.get_logger()


def archive(audit: AuditArchive, month: date, folder: Path, retention_days: int) -> Path:
    """Write a month to a file of `folder`, prove it, drop the month; return the file.

    Every seal is computed anew from what the file holds, and each day must end as the database has noted it.
    Can be run again after a crash at any point, and raises, as `command_svc.archive.archive`.
    """
    retention = f"{retention_days} days"
    state = audit.state(month, retention_days)
    if state != "READY":
        raise refusal(state, month, retention)
    expected = audit.heads(month)
    file = folder / f"audit_log-{month:%Y-%m}.parquet"
    if file.exists():
        _prove(file, expected)
    else:
        draft = file.with_suffix(".draft")
        # Closed here, for the connection is of no use to anybody before.
        with closing(audit.rows(month, BATCH)) as batches:
            audit_file.write(draft, batches)
        _prove(draft, expected)
        draft.rename(file)
        sync(folder)
    entries = sum(head.entries for head in expected.values())
    try:
        audit.drop(month, entries, file.name)
    except MonthStateError as error:
        raise refusal(error.state, month, retention) from error
    log.info("month of the audit log archived", month=f"{month:%Y-%m}", entries=entries, file=str(file))
    return file


def main(month: str, folder: Path) -> None:
    """Archive one month; exit code 1, and the reason in the log, when it stays where it is."""
    config = settings.load(ArchiveSettings)
    logs.configure("info", "command_svc.audit_retention")
    try:
        with open_audit_archive(config.database_url.get_secret_value()) as audit:
            archive(audit, parse(month), folder, config.audit_retention_days)
    except (ArchiveRefusal, ArchiveUnavailableError, FileError, OSError) as error:
        # Without its traceback: what a person can act on stands in the message.
        log.error("month not archived", month=month, reason=type(error).__name__, cause=str(error))  # noqa: TRY400
        sys.exit(1)


def verify(file: Path) -> None:
    """Print how many entries each day in a file has, and its last seal; exit code 1 if it is no proof."""
    try:
        heads = audit_file.prove(file)
    except FileError as error:
        sys.exit(str(error))
    for day, head in sorted(heads.items()):
        sys.stdout.write(f"{day} {head.entries} {head.seal.hex()}\n")


def _prove(file: Path, expected: dict[date, Head]) -> None:
    found = audit_file.prove(file)
    wrong = sorted(day for day in found.keys() | expected.keys() if found.get(day) != expected.get(day))
    if wrong:
        raise FileDiffersError(
            f"{file} does not end {wrong[0]} as the database has noted it, of {len(wrong)} days:"
            " remove the file, then try again; find out who has changed the log if it is so again"
        )
