"""What the database knows of the pipeline: the slot, and what has been committed since."""

from datetime import UTC, datetime
from uuid import UUID

from cdc.tables import DatabaseError, connect_database
from inventory.admin.v1.pipeline_service_pb2 import SlotStatus
from query_svc.rows import Row

_SLOT = """
    SELECT active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS retained
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
        return SlotStatus(
            name=name,
            active=row["active"],
            wal_status=row["wal_status"] or "",
            retained_bytes=max(0, row["retained"] or 0),
        )

    async def committed_after(self, milliseconds: int) -> datetime | None:
        """Return when the first transaction after an instant, since 1970, was recorded; None if none was.

        Raise DatabaseUnavailableError.
        """
        # The instant's own millisecond is not after it.
        after = datetime.fromtimestamp((milliseconds + 1) / 1000, UTC)
        row = await self._row(_NEXT, UUID(int=milliseconds << 80), after)
        return None if row is None else row["create_time"]

    async def _row(self, statement: str, *parameters: object) -> Row | None:
        try:
            async with connect_database(self._url, connect_timeout=max(2, self._timeout)) as connection:
                cursor = await connection.execute(statement, parameters)
                return await cursor.fetchone()
        except DatabaseError as error:
            raise DatabaseUnavailableError(str(error)) from error
