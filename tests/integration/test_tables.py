"""The connection by which tables are read."""

from __future__ import annotations

import asyncio
import time

import pytest

from cdc.tables import Connection, connect_database
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


async def test_a_reader_that_is_cancelled_on_its_way_out_leaves_no_connection_open(
    database: RunningStack,
) -> None:
    opened: list[Connection] = []

    async def read() -> None:
        async with connect_database(database.postgres_url("query")) as connection:
            opened.append(connection)
            await connection.execute("SELECT 1")
            # Who has worked for longer than 5 ms is made to wait in the next thing it asks of psycopg.
            time.sleep(0.02)  # noqa: ASYNC251 - it is work
            asyncio.get_running_loop().call_soon(reading.cancel)

    reading = asyncio.create_task(read())
    await asyncio.wait([reading])
    (connection,) = opened
    assert connection.closed
