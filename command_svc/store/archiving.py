"""What every archive asks of the database, in the role `inventory_archive`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]

REFUSED = "IA001"
"""SQLSTATE of the refusals to drop a month; the message is the state."""

_ALONE = "SELECT pg_try_advisory_lock(hashtext('archive'))"


class MonthStateError(Exception):
    """The month cannot be dropped; `state` is what the database has said of it."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class ArchiveUnavailableError(Exception):
    """The database does not answer, refuses the role, or is being archived by somebody else."""


class Archive:
    """The connection of an archive. Every method raises ArchiveUnavailableError and MonthStateError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fetch(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with _translated():
            return self._connection.execute(query.encode(), parameters).fetchall()

    def batches(
        self, query: str | sql.Composed, size: int, parameters: Sequence[object] = ()
    ) -> Generator[list[tuple[Any, ...]]]:
        """Yield the rows of a query, at most `size` at a time, in memory for no more than these.

        The archive does nothing else until the generator has ended or been closed.
        """
        asked = query.encode() if isinstance(query, str) else query
        with _translated(), self._connection.transaction(), self._connection.cursor("entries") as cursor:
            cursor.execute(asked, parameters or None, binary=True)
            while rows := cursor.fetchmany(size):
                yield rows


@contextmanager
def connected(database_url: str) -> Iterator[Connection]:
    """Give the only connection of those who archive; raises ArchiveUnavailableError."""
    with (
        _translated(),
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
def _translated() -> Iterator[None]:
    """Raise what stands against a month as MonthStateError, other errors as ArchiveUnavailableError."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate == REFUSED:
            raise MonthStateError(str(error.diag.message_primary)) from error
        raise ArchiveUnavailableError(str(error)) from error
