"""The entries of one level between two versions, as those who fill a gap of a watch ask for them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from query_svc.database import Database, DatabaseUnavailableError
from query_svc.ledger import Ledger
from tests.integration.ledger.entries import (
    NEXT_MONTH,
    around_the_turn_of_the_month,
    in_order,
    movement,
    write,
)
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


@pytest.fixture
async def ledger(database: RunningStack) -> AsyncIterator[Ledger]:
    """Give the ledger as the query service reads it."""
    async with Database(database.postgres_url("query"), connections=1, connect_timeout=5) as opened:
        yield Ledger(opened)


@pytest.mark.parametrize(("after", "until"), [(0, 1), (0, 9), (3, 4), (7, 25), (9, 9), (30, 1000)])
async def test_they_are_those_after_one_version_up_to_another_in_order(
    ledger: Ledger, books: psycopg.Connection, after: int, until: int
) -> None:
    """Of that level alone, on both sides of the turn of the month."""
    entries = around_the_turn_of_the_month(150)
    write(books, entries)
    there = [one for one in in_order(entries, newest_first=False) if one.location_id == "WH-2"]
    found = await ledger.entries("MUG-1", "WH-2", after=after, until=until, seconds=10)
    assert found == there[after:until]
    assert [one.version for one in found] == list(range(after + 1, min(until, len(there)) + 1))


async def test_a_level_without_entries_has_none(ledger: Ledger, books: psycopg.Connection) -> None:
    write(books, [movement("WH-1", 1, NEXT_MONTH)])
    assert await ledger.entries("MUG-1", "WH-2", after=0, until=9, seconds=10) == []
    assert await ledger.entries("MUG-2", "WH-1", after=0, until=9, seconds=10) == []


async def test_an_entry_that_is_missing_is_left_out(ledger: Ledger, books: psycopg.Connection) -> None:
    """Whoever asks sees by the versions that not all are there."""
    write(books, [movement("WH-1", version, NEXT_MONTH) for version in (1, 2, 4)])
    found = await ledger.entries("MUG-1", "WH-1", after=1, until=4, seconds=10)
    assert [one.version for one in found] == [2, 4]


async def test_it_takes_no_longer_than_it_may(ledger: Ledger, books: psycopg.Connection) -> None:
    with books.transaction():
        books.execute("LOCK TABLE stock_movements IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnavailableError):
            await ledger.entries("MUG-1", "WH-1", after=0, until=1, seconds=0.2)
