"""What the tests on the real database share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from tests.integration.command_svc.lanes import Processes, processes
from tests.integration.command_svc.neighbour import Neighbour
from tests.integration.command_svc.shop import Shop, open_shop
from tests.integration.command_svc.story import Story
from tests.midnight import pass_midnight
from tests.stack_fixture import RunningStack, running_stack


@pytest.fixture(autouse=True)
def within_a_day() -> None:
    """Have a test run within one day."""
    pass_midnight()


@pytest.fixture(scope="package")
def database() -> Iterator[RunningStack]:
    """Give a database of the package's own: its store needs nothing else."""
    with running_stack("test-store", only=("postgres", "database")) as running:
        yield running


@pytest.fixture
async def shop(database: RunningStack) -> Shop:
    """Give a new item and two new places, without stock."""
    return await open_shop(database)


@pytest.fixture
async def neighbour(shop: Shop) -> AsyncIterator[Neighbour]:
    """Give another user of the database; what it has not committed is undone."""
    async with await psycopg.AsyncConnection.connect(shop.stack.postgres_url("owner")) as connection:
        yield Neighbour(connection)
        await connection.rollback()


@pytest.fixture
async def story(database: RunningStack) -> AsyncIterator[Story]:
    """Give a story that has not begun."""
    async with Story(database) as story:
        yield story


@pytest.fixture(scope="package")
def several(database: RunningStack) -> Iterator[Processes]:
    """Give processes with a lane each."""
    with processes(database.postgres_url("command")) as running:
        yield running
