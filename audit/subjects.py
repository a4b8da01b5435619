"""Who stands behind a pseudonym: the one place that knows, and from which it can be erased."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar

import psycopg
from psycopg_pool import PoolTimeout

from audit.connections import Connection, pool
from audit.writer import INSERT_ENTRIES, as_json
from serving.audit import Entry
from serving.errors import unavailable

T = TypeVar("T")

_FIND = "SELECT pseudonym FROM audit_subjects WHERE subject = %s"
_ADD = "INSERT INTO audit_subjects (pseudonym, subject) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_ERASE = "DELETE FROM audit_subjects WHERE subject = %s RETURNING pseudonym"


class Subjects:
    """Gives pseudonyms and forgets them, as the role `inventory_audit`.

    An asynchronous context manager. Every method raises CallError DEPENDENCY_UNAVAILABLE.
    """

    def __init__(self, database_url: str, *, connect_timeout: float) -> None:
        """Take the longest wait for a connection, in seconds."""
        self._pool = pool(
            database_url,
            "inventory-subjects",
            least=0,
            most=2,
            connect_timeout=connect_timeout,
            statement_timeout=5.0,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def pseudonym(self, subject: str) -> str:
        """Return what a person is called in ledger and audit log, from now on at the latest."""

        async def work(connection: Connection) -> str:
            found = await _find(connection, subject)
            if found is None:
                await connection.execute(_ADD, (f"person/{uuid.uuid4()}", subject))
                found = await _find(connection, subject)  # another process may have been first
            return str(found)

        return await self._run(work)

    async def find(self, subject: str) -> str | None:
        """Return the pseudonym of a subject, None if it has none."""
        return await self._run(lambda connection: _find(connection, subject))

    async def erase(self, subject: str, entry: Entry) -> str | None:
        """Forget a subject, and write `entry` in the same transaction; return the pseudonym it had."""

        async def work(connection: Connection) -> str | None:
            erased = await (await connection.execute(_ERASE, (subject,))).fetchone()
            await connection.execute(INSERT_ENTRIES, (as_json([entry]),))
            return None if erased is None else str(erased[0])

        return await self._run(work)

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            async with self._pool.connection() as connection:
                return await work(connection)
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            raise unavailable("audit log") from error


async def _find(connection: Connection, subject: str) -> str | None:
    row = await (await connection.execute(_FIND, (subject,))).fetchone()
    return None if row is None else str(row[0])
