"""The audit log as its archive sees it, in the role `inventory_archive`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, NamedTuple

from command_svc.store.archiving import Archive, connected

_STATE = "SELECT audit_month_state(%s, %s)"
_HEADS = """
SELECT day, entries, seal FROM audit_days
WHERE day >= %s::date AND day < %s::date + interval '1 month' ORDER BY day
"""
# Each entry with its seal, in the order of the chains.
_ROWS = """
SELECT s.day, s.transaction_number::text::bigint, s.entry_id, l.record_time, l.method, l.verdict, l.actor,
    l.proof, l.source, l.request_id, l.trace_id, l.skus, l.location_ids, l.transaction_id, l.calls,
    s.position, s.seal
FROM audit_seals AS s JOIN audit_log AS l USING (day, transaction_number, entry_id)
WHERE s.day >= %s::date AND s.day < %s::date + interval '1 month'
ORDER BY s.day, s.position
"""
_DROP = "SELECT drop_audit_month(%s, %s, %s)"


class Head(NamedTuple):
    """What is kept of a day for ever: how many entries it has, and the last seal of its chain."""

    entries: int
    seal: bytes


class AuditArchive:
    """Reads months of the audit log, and drops those that a file holds.

    Every method raises ArchiveUnavailableError. `month` is a month's first day.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def state(self, month: date, retention_days: int) -> str:
        """Return READY, or what stands against archiving the month: see audit_month_state()."""
        ((state,),) = self._archive.fetch(_STATE, month, retention_days)
        return str(state)

    def heads(self, month: date) -> dict[date, Head]:
        """Return how the chains of the month end."""
        rows = self._archive.fetch(_HEADS, month, month)
        return {day: Head(entries, seal) for day, entries, seal in rows}

    def rows(self, month: date, size: int) -> Generator[list[tuple[Any, ...]]]:
        """Yield the sealed entries of a month in the order of the chains, as `Archive.batches` does.

        Each is an entry in the order of its columns, then position and seal.
        """
        return self._archive.batches(_ROWS, size, [month, month])

    def drop(self, month: date, entries: int, file: str) -> None:
        """Drop a month that has so many entries still, all sealed.

        Raises MonthStateError when anything stands against it; then nothing has changed.
        """
        self._archive.fetch(_DROP, month, entries, file)


@contextmanager
def open_audit_archive(database_url: str) -> Iterator[AuditArchive]:
    """Give the archive to one at a time; raises ArchiveUnavailableError."""
    with connected(database_url) as connection:
        yield AuditArchive(Archive(connection))
