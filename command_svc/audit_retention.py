"""The retention of the audit log: an old month becomes a file that proves itself, and leaves the database."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import date
from pathlib import Path

import structlog

from command_svc import archiving, audit_file
from command_svc.archiving import FileDiffersError
from command_svc.config import ArchiveSettings
from command_svc.parquet_file import FileError
from command_svc.store.audit_archive import AuditArchive, Head, open_audit_archive

BATCH = 5000
"""Entries in memory at a time."""

log = structlog.get_logger()


def archive(audit: AuditArchive, month: date, folder: Path, retention_days: int) -> Path:
    """Write a month to a file of `folder`, prove it, drop the month; return the file.

    Every seal is computed anew from what the file holds, and each day must end as the database has noted it.
    Can be run again after a crash at any point, and raises, as `command_svc.archive.archive`.
    """
    file = folder / f"audit_log-{month:%Y-%m}.parquet"

    def write(draft: Path) -> None:
        # Closed here, for the connection is of no use to anybody before.
        with closing(audit.rows(month, BATCH)) as batches:
            audit_file.write(draft, batches)

    with archiving.leaving(month, audit.state(month, retention_days), f"{retention_days} days"):
        expected = audit.heads(month)
        archiving.ensure(file, write, lambda written: _prove(written, expected))
        entries = sum(head.entries for head in expected.values())
        audit.drop(month, entries, file.name)
    log.info("month of the audit log archived", month=f"{month:%Y-%m}", entries=entries, file=str(file))
    return file


def main(month: str, folder: Path) -> None:
    """Archive one month, as `archiving.run` does."""

    def work(config: ArchiveSettings, first: date) -> Path:
        with open_audit_archive(config.database_url.get_secret_value()) as audit:
            return archive(audit, first, folder, config.audit_retention_days)

    archiving.run(month, work)


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
