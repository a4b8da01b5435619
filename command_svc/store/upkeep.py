"""The jobs that keep the schema in order, as statements of the role `inventory_command`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, LiteralString, NamedTuple, Self, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from command_svc.store.errors import translate
from command_svc.store.reading import Connection

T = TypeVar("T")

STATEMENT_TIMEOUT = timedelta(seconds=10)
SUMMARY_TIMEOUT = timedelta(minutes=2)
RECONNECT_SECONDS = 1.0
SEALED_AT_ONCE = 2000
"""Entries of the audit log that are sealed in one transaction."""

# A job that another process is at is locked, and passed over.
_CLAIM = """
SELECT FROM upkeep_jobs WHERE job = %s AND success_time <= now() - %s::interval FOR UPDATE SKIP LOCKED
"""
_SUCCEEDED = "UPDATE upkeep_jobs SET success_time = clock_timestamp() WHERE job = %s"
_CREATE_PARTITIONS = "SELECT create_partitions()"
_MARK_WAL = "SELECT mark_wal()"
_DROP_EXPIRED_PARTITION = "SELECT drop_expired_partition()"
_SEAL = "SELECT seal_audit_entries(%s)"
_REFRESH_SUMMARY = "REFRESH MATERIALIZED VIEW CONCURRENTLY mv_stock_summary"
_PARTITIONS = """
SELECT parent, child, lower_bound, upper_bound FROM list_partitions()
WHERE parent IN ('stock_movements', 'requests', 'journal', 'audit_log', 'audit_seals')
"""
_SUCCESS_TIMES = "SELECT job, success_time FROM upkeep_jobs"
_TIMES = "SELECT now(), confirmed_until()"
# Nobody writes any more into the days before the newest two: see seal_audit_entries().
_SEALED_DAYS = """
SELECT day, entries, seal FROM audit_days
WHERE day BETWEEN current_date - %s::integer AND current_date - 2 ORDER BY day
"""


class Partition(NamedTuple):
    """A partition of `parent`, for what is recorded from `lower_bound` until before `upper_bound`."""

    parent: str
    child: str
    lower_bound: datetime
    upper_bound: datetime


class SealedDay(NamedTuple):
    """A day of the audit log that is over: how many entries it has, and the last seal of its chain."""

    day: date
    entries: int
    seal: bytes


@dataclass(frozen=True)
class Condition:
    """How things stand at `now`.

    `success_times` holds when each job last succeeded. Up to `confirmed_until` the connector has confirmed
    every record; None without its slot, and before it has confirmed a mark.
    """

    now: datetime
    partitions: Sequence[Partition]
    success_times: Mapping[str, datetime]
    confirmed_until: datetime | None


class UpkeepStore:
    """Does the jobs on a connection of its own, so that the long ones of them are in nobody's way.

    A job is done if it last succeeded at least `every` ago and no other process is at it, and answers None
    otherwise. Use as an async context manager; entering it does not wait for the database. Every method
    raises StoreError.
    """

    def __init__(self, database_url: str, *, connect_timeout: float) -> None:
        """Take the longest wait for the connection, in seconds."""
        milliseconds = STATEMENT_TIMEOUT // timedelta(milliseconds=1)
        self._pool = AsyncConnectionPool[Connection](
            database_url,
            min_size=1,
            max_size=1,
            timeout=connect_timeout,
            reconnect_timeout=RECONNECT_SECONDS,
            open=False,
            kwargs={
                "application_name": "inventory-upkeep",
                "connect_timeout": max(1, int(connect_timeout)),
                "tcp_user_timeout": 2 * milliseconds,
                "options": f"-c timezone=UTC -c statement_timeout={milliseconds} "
                f"-c idle_in_transaction_session_timeout={milliseconds}",
            },
        )

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def create_partitions(self, every: timedelta) -> int | None:
        """Make the partitions of the time ahead; return how many were missing."""
        return await self._job("partitions", every, _CREATE_PARTITIONS)

    async def mark_wal(self, every: timedelta) -> None:
        """Write down where the write-ahead log stands now."""
        await self._job("marks", every, _MARK_WAL)

    async def drop_expired_partition(self, every: timedelta) -> str | None:
        """Drop one partition of requests or journal that is old and confirmed; return its name.

        The job has succeeded, and answers None, once there is none left.
        """

        async def work(connection: Connection) -> str | None:
            if not await _claim(connection, "expiry", every):
                return None
            name: str | None = await _value(connection, _DROP_EXPIRED_PARTITION)
            if name is None:
                await connection.execute(_SUCCEEDED, ["expiry"])
            return name

        return await self._run(work)

    async def seal(self, every: timedelta) -> int | None:
        """Continue the chains of the audit log by a bounded step; return by how many entries.

        The job has succeeded once a step finds less than SEALED_AT_ONCE.
        """

        async def work(connection: Connection) -> int | None:
            if not await _claim(connection, "seals", every):
                return None
            ((sealed,),) = await (await connection.execute(_SEAL, [SEALED_AT_ONCE])).fetchall()
            if sealed < SEALED_AT_ONCE:
                await connection.execute(_SUCCEEDED, ["seals"])
            return int(sealed)

        return await self._run(work)

    async def sealed_days(self, most: int) -> list[SealedDay]:
        """Return the days of the audit log that are over, of the last `most`, the oldest first."""

        async def work(connection: Connection) -> list[SealedDay]:
            rows = await (await connection.execute(_SEALED_DAYS, [most])).fetchall()
            return [SealedDay(*row) for row in rows]

        return await self._run(work)

    async def refresh_summary(self, every: timedelta) -> None:
        """Bring mv_stock_summary up to date; whoever reads it meanwhile reads the old one."""

        async def work(connection: Connection) -> None:
            if await _claim(connection, "summary", every):
                milliseconds = SUMMARY_TIMEOUT // timedelta(milliseconds=1)
                await connection.execute(
                    "SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)]
                )
                await connection.execute(_REFRESH_SUMMARY)
                await connection.execute(_SUCCEEDED, ["summary"])

        await self._run(work)

    async def condition(self) -> Condition:
        """Look how things stand."""

        async def work(connection: Connection) -> Condition:
            partitions = await (await connection.execute(_PARTITIONS)).fetchall()
            successes = await (await connection.execute(_SUCCESS_TIMES)).fetchall()
            ((now, confirmed_until),) = await (await connection.execute(_TIMES)).fetchall()
            return Condition(now, [Partition(*row) for row in partitions], dict(successes), confirmed_until)

        return await self._run(work)

    async def _job(self, job: str, every: timedelta, statement: LiteralString) -> int | None:
        """Do a job of one statement; return its value."""

        async def work(connection: Connection) -> int | None:
            if not await _claim(connection, job, every):
                return None
            value: int | None = await _value(connection, statement)
            await connection.execute(_SUCCEEDED, [job])
            return value

        return await self._run(work)

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do the work in one transaction."""
        try:
            async with self._pool.connection() as connection:
                return await work(connection)
        except (psycopg.Error, PoolTimeout) as error:
            raise translate(error) from error


async def _claim(connection: Connection, job: str, every: timedelta) -> bool:
    """Lock a job that is due until the end of the transaction; tell whether it is ours."""
    return await (await connection.execute(_CLAIM, [job, every])).fetchone() is not None


async def _value(connection: Connection, statement: LiteralString) -> Any:  # noqa: ANN401 - as the driver says
    ((value,),) = await (await connection.execute(statement)).fetchall()
    return value
