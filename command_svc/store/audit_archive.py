"""The audit log as its archive sees it, in the role `inventory_archive`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, NamedTuple

import psycopg

from command_svc.store.archive import connected, translated

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

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def state(self, month: date, retention_days: int) -> str:
        """Return READY, or what stands against archiving the month: see audit_month_state()."""
        with translated():
            ((state,),) = self._connection.execute(_STATE, [month, retention_days]).fetchall()
        return str(state)

    def heads(self, month: date) -> dict[date, Head]:
        """Return how the chains of the month end."""
        with translated():
            rows = self._connection.execute(_HEADS, [month, month]).fetchall()
        return {day: Head(entries, seal) for day, entries, seal in rows}

    def rows(self, month: date, size: int) -> Generator[list[tuple[Any, ...]]]:
        """Yield the sealed entries of a month in the order of the chains, at most `size` at a time.

        Each is an entry in the order of its columns, then position and seal. The archive does nothing else
        until the generator has ended or been closed.
        """
        with translated(), self._connection.transaction(), self._connection.cursor("entries") as cursor:
            cursor.execute(_ROWS, [month, month], binary=True)
            while rows := cursor.fetchmany(size):
                yield rows

    def drop(self, month: date, entries: int, file: str) -> None:
        """Drop a month that has so many entries still, all sealed.

        Raises MonthStateError when anything stands against it; then nothing has changed.
        """
        with translated():
            self._connection.execute(_DROP, [month, entries, file])


@contextmanager
def open_audit_archive(database_url: str) -> Iterator[AuditArchive]:
    """Give the archive to one at a time; raises ArchiveUnavailableError."""
    with connected(database_url) as connection:
        yield AuditArchive(connection)
