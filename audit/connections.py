"""Connections of those who write the audit log, all opened in one way."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Pool = AsyncConnectionPool[Connection]

UNAVAILABLE = (psycopg.Error, PoolTimeout)
"""What is raised while the database does not take a statement."""


def pool(  # noqa: PLR0913 - each is named by whoever calls
    database_url: str,
    name: str,
    *,
    most: int,
    connect_timeout: float,
    least: int = 1,
    statement_timeout: float = 10.0,
) -> Pool:
    """Return a pool that is not open yet, of `least` to `most` connections that PostgreSQL knows by a name.

    The times, in seconds, are the longest wait for a connection, and for a statement.
    """
    return AsyncConnectionPool(
        database_url,
        min_size=least,
        max_size=most,
        timeout=connect_timeout,
        reconnect_timeout=1.0,
        open=False,
        kwargs={
            "application_name": name,
            "connect_timeout": max(1, int(connect_timeout)),
            "options": f"-c timezone=UTC -c statement_timeout={int(statement_timeout * 1000)}"
            " -c lock_timeout=2000",
        },
    )
