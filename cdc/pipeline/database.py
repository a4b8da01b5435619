"""What the database knows of the pipeline: the slot, and what has been committed since."""

from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import psycopg

from inventory.admin.v1.pipeline_service_pb2 import SlotStatus

_SLOT = """
    SELECT active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint
    FROM pg_replication_slots WHERE slot_name = %s
"""
# Ids are of version 7, so in the order of their time to the millisecond: the key finds the place.
_NEXT = "SELECT create_time FROM journal WHERE id >= %s AND create_time > %s ORDER BY id LIMIT 1"


class DatabaseUnavailableError(Exception):
    """The database does not answer, or not in time."""


class PipelineDatabase:
    """Asks on a connection of its own each time: it is asked rarely, and must not keep one for ever."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout

    async def slot(self, name: str) -> SlotStatus | None:
        """Return how a replication slot stands, None if there is none. Raise DatabaseUnavailableError."""
        row = await self._row(_SLOT, name)
        if row is None:
            return None
        active, wal_status, retained = row
        return SlotStatus(
            name=name, active=active, wal_status=wal_status or "", retained_bytes=max(0, retained or 0)
        )

    async def committed_after(self, milliseconds: int) -> datetime | None:
        """Return when the first transaction after an instant, since 1970, was recorded; None if none was.

        Raise DatabaseUnavailableError.
        """
        # The instant's own millisecond is not after it.
        after = datetime.fromtimestamp((milliseconds + 1) / 1000, UTC)
        row = await self._row(_NEXT, UUID(int=milliseconds << 80), after)
        return None if row is None else cast("datetime", row[0])

    async def _row(self, statement: str, *parameters: object) -> tuple[Any, ...] | None:
        try:
            async with await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=max(2, int(self._timeout))
            ) as connection:
                cursor = await connection.execute(statement, parameters)
                return await cursor.fetchone()
        except psycopg.Error as error:
            raise DatabaseUnavailableError(str(error)) from error
