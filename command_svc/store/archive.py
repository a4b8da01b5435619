"""The ledger as its archive sees it, in the role `inventory_archive`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

REFUSED = "IA001"
"""SQLSTATE of drop_ledger_month's refusals; the message is the state."""

_ALONE = "SELECT pg_try_advisory_lock(hashtext('archive'))"
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


class MonthStateError(Exception):
    """The month cannot be dropped; `state` is what ledger_month_state() or drop_ledger_month() said."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class ArchiveUnavailableError(Exception):
    """The database does not answer, refuses the role, or is being archived by somebody else."""


class LedgerArchive:
    """Reads months of the ledger, and drops those that a file holds.

    Every method raises ArchiveUnavailableError. `month` is a month's first day.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def state(self, month: date, retention_months: int) -> str:
        """Return READY, or what stands against archiving the month: see ledger_month_state()."""
        ((state,),) = self._fetch(_STATE, [month, retention_months])
        return str(state)

    def columns(self) -> list[Column]:
        """Return the columns in the order of their names."""
        return [Column(name, kind) for name, kind in self._fetch(_COLUMNS, [])]

    def totals(self, month: date) -> Totals:
        """Return the totals of a month, which reads it from end to end."""
        ((entries, checksum),) = self._fetch(_TOTALS, [month])
        return Totals(entries, int(checksum))

    def rows(self, month: date, columns: Sequence[Column], size: int) -> Generator[list[tuple[Any, ...]]]:
        """Yield the entries of a month, at most `size` at a time, in memory for no more than these.

        The archive does nothing else until the generator has ended or been closed.
        """
        query = sql.SQL(_ROWS).format(
            columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
            month=sql.Literal(month),
        )
        with translated(), self._connection.transaction(), self._connection.cursor("entries") as cursor:
            cursor.execute(query, binary=True)
            while rows := cursor.fetchmany(size):
                yield rows

    def drop(self, month: date, totals: Totals, file: str) -> None:
        """Drop a month that has these totals still, and keep where the rest of the ledger begins.

        Raises MonthStateError when anything stands against it; then nothing has changed.
        """
        self._fetch(_DROP, [month, totals.entries, totals.checksum, file])

    def _fetch(self, query: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        with translated():
            return self._connection.execute(query.encode(), parameters).fetchall()


@contextmanager
def open_archive(database_url: str) -> Iterator[LedgerArchive]:
    """Give the archive to one at a time; raises ArchiveUnavailableError."""
    with connected(database_url) as connection:
        yield LedgerArchive(connection)


@contextmanager
def connected(database_url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Give the only connection of those who archive; raises ArchiveUnavailableError."""
    with (
        translated(),
        psycopg.connect(
            database_url,
            autocommit=True,
            application_name="inventory-archive",
            # Whoever is killed while a month is dropped does not have it dropped behind his back.
            options="-c timezone=UTC -c statement_timeout=0 -c client_connection_check_interval=1000",
        ) as connection,
    ):
        if connection.execute(_ALONE).fetchone() != (True,):
            raise ArchiveUnavailableError("somebody else is archiving")
        yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Raise what stands against a month as MonthStateError, other errors as ArchiveUnavailableError."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate == REFUSED:
            raise MonthStateError(str(error.diag.message_primary)) from error
        raise ArchiveUnavailableError(str(error)) from error
