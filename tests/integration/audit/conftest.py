"""A PostgreSQL with the schema, shared by the tests of the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from command_svc.store.upkeep import UpkeepStore
from query_svc.audit_log import AuditLog
from query_svc.database import Database
from tests.integration.audit.old_days import write_old_days
from tests.integration.audit.world import World
from tests.integration.command_svc.partitions import superuser
from tests.midnight import pass_midnight
from tests.stack_fixture import RunningStack, running_stack


@pytest.fixture(autouse=True)
def within_a_day() -> None:
    """Have a test run within one day."""
    pass_midnight()


@pytest.fixture(scope="package")
def database() -> Iterator[RunningStack]:
    """Give a PostgreSQL with the schema, and nothing else."""
    with running_stack("audit", only=("postgres", "database")) as running:
        yield running


@pytest.fixture
async def world(database: RunningStack) -> AsyncIterator[World]:
    """Give an empty audit log, and all who write, seal and read it."""
    with psycopg.connect(database.postgres_url("owner"), autocommit=True) as connection:
        connection.execute("TRUNCATE audit_log, audit_seals, audit_days, audit_archives")
        connection.execute("UPDATE upkeep_jobs SET success_time = 'epoch'")
    url = database.postgres_url("query")
    async with (
        UpkeepStore(database.postgres_url("command"), connect_timeout=5.0) as upkeep,
        Database(url, connections=2, connect_timeout=5.0) as reading,
    ):
        with superuser(database) as tampering:
            yield World(database, upkeep, AuditLog(reading), tampering)


@pytest.fixture
async def old(world: World) -> World:
    """Give an audit log with entries of the old days alone."""
    await write_old_days(world)
    return world
