"""A database shared by the tests of the upkeep, and the upkeep's store on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg import sql

from command_svc.store.upkeep import UpkeepStore
from tests.integration.command_svc.partitions import (
    Connection,
    old_partitions,
    superuser,
)
from tests.stack_fixture import RunningStack, running_stack


@pytest.fixture(scope="package")
def database() -> Iterator[RunningStack]:
    """Give a database alone."""
    with running_stack("upkeep", only=("postgres", "database")) as running:
        yield running


@pytest.fixture
def owner(database: RunningStack) -> Iterator[Connection]:
    """Give the owner's connection to a database without marks, slot, old partitions and missing ones."""
    with (
        psycopg.connect(database.postgres_url("owner"), autocommit=True) as connection,
        superuser(database) as other,
    ):
        other.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        connection.execute("TRUNCATE wal_marks")
        connection.execute("UPDATE upkeep_jobs SET success_time = 'epoch'")
        for name in old_partitions(connection):
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        connection.execute("SELECT create_partitions()")  # a day may have begun since the last test
        yield connection


@pytest.fixture
async def store(database: RunningStack) -> AsyncIterator[UpkeepStore]:
    """Give the store of a command service."""
    async with UpkeepStore(database.postgres_url("command"), connect_timeout=5.0) as opened:
        yield opened
