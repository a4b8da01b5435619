"""The ledger as its archive sees it, in the role `inventory_archive`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any, NamedTuple

from psycopg import sql

from command_svc.store.archiving import Archive, connected

_COLUMNS = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = 'stock_movements'::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attname COLLATE "C"
"""
_STATE = "SELECT ledger_month_state(%s, %s)"
_TOTALS = "SELECT entries, checksum FROM ledger_month_totals(%s)"
# In the order of the primary key: what belongs together stands together in the file.
_ROWS = """
SELECT {columns} FROM stock_movements
WHERE record_time >= {month}::timestamptz AND record_time < {month}::timestamptz + interval '1 month'
ORDER BY sku, location_id, version
"""
_DROP = "SELECT drop_ledger_month(%s, %s, %s, %s)"


class Totals(NamedTuple):
    """How many entries there are, and the sum of their checksums; see ledger_month_totals()."""

    entries: int
    checksum: int


class Column(NamedTuple):
    """A column of the ledger: its name and PostgreSQL's name of its type."""

    name: str
    kind: str


class LedgerArchive:
    """Reads months of the ledger, and drops those that a file holds.

    Every method raises ArchiveUnavailableError. `month` is a month's first day.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def state(self, month: date, retention_months: int) -> str:
        """Return READY, or what stands against archiving the month: see ledger_month_state()."""
        ((state,),) = self._archive.fetch(_STATE, month, retention_months)
        return str(state)

    def columns(self) -> list[Column]:
        """Return the columns in the order of their names."""
        return [Column(name, kind) for name, kind in self._archive.fetch(_COLUMNS)]

    def totals(self, month: date) -> Totals:
        """Return the totals of a month, which reads it from end to end."""
        ((entries, checksum),) = self._archive.fetch(_TOTALS, month)
        return Totals(entries, int(checksum))

    def rows(self, month: date, columns: Sequence[Column], size: int) -> Generator[list[tuple[Any, ...]]]:
        """Yield the entries of a month, as `Archive.batches` does."""
        query = sql.SQL(_ROWS).format(
            columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
            month=sql.Literal(month),
        )
        return self._archive.batches(query, size)

    def drop(self, month: date, totals: Totals, file: str) -> None:
        """Drop a month that has these totals still, and keep where the rest of the ledger begins.

        Raises MonthStateError when anything stands against it; then nothing has changed.
        """
        self._archive.fetch(_DROP, month, totals.entries, totals.checksum, file)


@contextmanager
def open_archive(database_url: str) -> Iterator[LedgerArchive]:
    """Give the archive to one at a time; raises ArchiveUnavailableError."""
    with connected(database_url) as connection:
        yield LedgerArchive(Archive(connection))
