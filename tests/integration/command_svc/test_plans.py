"""How the database carries out the hot statements once the tables have grown: by their indexes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from command_svc.store import statements, writes
from tests.stack_fixture import RunningStack

Connection = psycopg.Connection[tuple[Any, ...]]

ITEMS, PLACES = 400, 50
GROW = """
INSERT INTO items SELECT
    'plan-' || n, 'Item', '', 'PHYSICAL', 'each', '{}', '{}', '{}', '{}', 'ACTIVE', 1, now(), now()
FROM generate_series(1, %(items)s) AS n;
INSERT INTO locations SELECT
    'plan-' || n, 'Place', 'STORE', '', '', '', '{}', NULL, NULL, 'UTC', 0, false, 'ACTIVE', 1, now(), now()
FROM generate_series(1, %(places)s) AS n;
INSERT INTO stock_levels (sku, location_id, on_hand, version, update_time)
SELECT 'plan-' || i, 'plan-' || p, 1, 1, now()
FROM generate_series(1, %(items)s) AS i, generate_series(1, %(places)s) AS p;
INSERT INTO requests
SELECT 'plan-' || n, '', '', uuidv7(), now(), CURRENT_DATE + n %% 3 FROM generate_series(1, 30000) AS n;
"""
# A lone command, as many as a full batch of the lane, and as the largest call has.
sizes = pytest.mark.parametrize("number", [1, 256, 1000])


@pytest.fixture(scope="module")
def grown(database: RunningStack) -> Iterator[Connection]:
    """Give a transaction in which the tables are large; it is undone at the end.

    Statements are planned for any parameters, as prepared ones are after a while.
    """
    with psycopg.connect(database.postgres_url("owner")) as connection:
        psycopg.ClientCursor(connection).execute(GROW, {"items": ITEMS, "places": PLACES})
        connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        yield connection
        connection.rollback()


@pytest.fixture(params=["analyzed", "new"])
def _statistics(request: pytest.FixtureRequest, grown: Connection) -> Iterator[None]:
    """Plan with what ANALYZE has found, or before it has ever run, as in the hour after an import."""
    if request.param == "new":
        yield
        return
    grown.execute("SAVEPOINT new")
    grown.execute("ANALYZE items, locations, stock_levels, requests")
    yield
    grown.execute("ROLLBACK TO SAVEPOINT new")


pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("_statistics")]


def explain(connection: Connection, statement: str, *parameters: object) -> str:
    """Carry out a statement of the store, prepared as the store prepares it; return its plan."""
    types = re.findall(r"%b::(\w+(?:\[\])?)", statement)
    assert len(types) == statement.count("%b") == len(parameters)
    numbers = iter(range(1, len(types) + 1))
    numbered = re.sub("%b", lambda _: f"${next(numbers)}", statement)
    connection.execute(f"PREPARE hot ({', '.join(types)}) AS {numbered}".encode())
    try:
        # EXECUTE takes no parameters: the client writes them out.
        given = ", ".join(["%s"] * len(types))
        rows = psycopg.ClientCursor(connection).execute(
            f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE hot ({given})".encode(), parameters
        )
        return "\n".join(row[0] for row in rows)
    finally:
        connection.execute("DEALLOCATE hot")


def names(number: int) -> tuple[list[str], list[str]]:
    """Return the SKUs and location ids of so many levels."""
    keys = [(f"plan-{n // PLACES + 1}", f"plan-{n % PLACES + 1}") for n in range(number)]
    return [sku for sku, _ in keys], [place for _, place in keys]


@sizes
def test_levels_are_locked_by_their_key(grown: Connection, number: int) -> None:
    plan = explain(grown, statements.LOCK_LEVELS, *names(number))
    assert plan.startswith(f"LockRows (actual rows={number}.00")
    assert "Index Scan using stock_levels_pkey" in plan
    assert "Seq Scan" not in plan, plan


@sizes
def test_levels_are_written_by_their_key(grown: Connection, number: int) -> None:
    figures = [[n] * number for n in (5, 0, 0, 0, 0, 0, 0, 2)]
    times = [datetime.now(UTC)] * number
    plan = explain(grown, writes.UPDATE_LEVELS, *names(number), *figures, times)
    assert "Index Scan using stock_levels_pkey" in plan
    assert f"(actual rows={number}.00" in plan
    assert "Seq Scan" not in plan, plan


@sizes
def test_requests_are_found_by_their_id_in_the_days_they_may_be_of(grown: Connection, number: int) -> None:
    ids = [f"plan-{n}" for n in range(1, number + 1)]
    (today,) = grown.execute("SELECT CURRENT_DATE").fetchone() or ()
    plan = explain(grown, statements.READ_REQUESTS, ids, today, today)
    assert re.search(r"(Index|Bitmap Index) Scan (using|on) requests_\d{8}_pkey", plan)
    assert "Seq Scan" not in plan, plan
    # The other days' partitions are not even looked at.
    days = {datetime.strptime(day, "%Y%m%d").date() for day in re.findall(r"requests_(\d{8})\b", plan)}  # noqa: DTZ007
    assert days <= {today + timedelta(days=ahead) for ahead in range(-7, 2)}


@sizes
def test_items_are_found_by_their_sku(grown: Connection, number: int) -> None:
    plan = explain(grown, statements.READ_ITEMS, [f"plan-{n}" for n in range(1, number + 1)])
    assert re.search(r"(Index|Bitmap Index) Scan (using|on) items_pkey", plan)
    assert "Seq Scan" not in plan, plan
