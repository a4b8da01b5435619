"""How the database carries out the hot statements once the tables have grown: by their indexes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from command_svc.store import statements, writes
from tests.stack_fixture import RunningStack

Connection = psycopg.Connection[tuple[Any, ...]]

ITEMS, PLACES, PROMISES = 400, 50, 20000
TABLES = "items, locations, stock_levels, lots, serials, reservations, orders, transfers, requests"
GROW = """
CREATE FUNCTION pg_temp.name(n integer) RETURNS uuid LANGUAGE sql AS
$$SELECT lpad(n::text, 32, '0')::uuid$$;
CREATE FUNCTION pg_temp.sku(n integer) RETURNS text[] LANGUAGE sql AS
$$SELECT ARRAY['plan-' || n %% %(items)s + 1]$$;
CREATE FUNCTION pg_temp.place(n integer) RETURNS text[] LANGUAGE sql AS
$$SELECT ARRAY['plan-' || n %% %(places)s + 1]$$;
INSERT INTO items SELECT
    'plan-' || n, 'Item', '', 'PHYSICAL', 'each', '{}', '{}', '{}', '{}', 'ACTIVE', 1, now(), now()
FROM generate_series(1, 50 * %(items)s) AS n;
INSERT INTO locations SELECT
    'plan-' || n, 'Place', 'STORE', '', '', '', '{}', NULL, NULL, 'UTC', 0, false, 'ACTIVE', 1, now(), now()
FROM generate_series(1, 50 * %(places)s) AS n;
INSERT INTO stock_levels (sku, location_id, on_hand, version, update_time)
SELECT 'plan-' || i, 'plan-' || p, 1, 1, now()
FROM generate_series(1, %(items)s) AS i, generate_series(1, %(places)s) AS p;
INSERT INTO lots SELECT sku, location_id, 'lot-' || n, NULL, n %% 2, 0, 0, 1, now(), now()
FROM stock_levels, generate_series(1, 3) AS n WHERE sku LIKE 'plan-%%';
INSERT INTO serials SELECT sku, location_id || lot_id, location_id, lot_id, true FROM lots WHERE on_hand = 1;
-- Of the promises, a few in a hundred still matter.
INSERT INTO reservations SELECT
    pg_temp.name(n), CASE WHEN n %% 50 = 0 THEN 'PENDING' ELSE 'CONFIRMED' END,
    pg_temp.sku(n), pg_temp.place(n), '{""}', '{1}', '{0}', '{0}',
    now() + (n - 10000 || ' seconds')::interval, '', '', '', 1, now(), now()
FROM generate_series(1, %(promises)s) AS n;
INSERT INTO orders SELECT
    pg_temp.name(n), 'OPEN', pg_temp.sku(n), '{1}',
    pg_temp.sku(n), pg_temp.place(n), '{""}', '{1}', '{1}', '{0}', '{0}', '{0}',
    CASE WHEN n %% 50 = 0 THEN ARRAY[(pg_temp.sku(n))[1] || ' ' || (pg_temp.place(n))[1]] ELSE '{}' END,
    '', '', '', 1, now(), now()
FROM generate_series(1, %(promises)s) AS n;
INSERT INTO transfers SELECT
    pg_temp.name(n), 'IN_TRANSIT', (pg_temp.place(n))[1], '', (pg_temp.place(n + 1))[1],
    pg_temp.sku(n), '{""}', '{1}', '{0}', '{0}', '{0}',
    '[[]]', NULL, '', '', 1, now(), now()
FROM generate_series(1, %(promises)s) AS n;
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
        psycopg.ClientCursor(connection).execute(
            GROW, {"items": ITEMS, "places": PLACES, "promises": PROMISES}
        )
        connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        yield connection
        connection.rollback()


@pytest.fixture(scope="module", params=["analyzed", "new"])
def _statistics(request: pytest.FixtureRequest, grown: Connection) -> Iterator[None]:
    """Plan with what ANALYZE has found, or before it has ever run, as in the hour after an import."""
    if request.param == "new":
        yield
        return
    grown.execute("SAVEPOINT new")
    grown.execute(f"ANALYZE {TABLES}")
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


def ids(number: int) -> list[UUID]:
    """Return the ids of so many reservations, orders or transfers."""
    return [UUID(int=int(f"{n:032}", 16)) for n in range(1, number + 1)]


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


@sizes
def test_the_levels_of_promises_are_locked_by_their_keys(grown: Connection, number: int) -> None:
    skus, places = names(number)
    few = sorted(set(skus))
    plan = explain(
        grown,
        statements.LOCK_SCOPE,
        few,
        few,
        skus,
        places,
        few[:1],
        few[:1],
        skus,
        places,
        *[ids(number)] * 3,
    )
    assert "Index Scan using stock_levels_pkey on stock_levels s" in plan
    assert "Seq Scan" not in plan, plan


@sizes
@pytest.mark.parametrize("kind", ["ORDERS", "TRANSFERS"])
def test_promises_are_found_by_their_ids(grown: Connection, number: int, kind: str) -> None:
    plan = explain(grown, getattr(statements, f"READ_{kind}"), ids(number))
    assert plan.startswith(f"LockRows (actual rows={number}.00")
    assert "Seq Scan" not in plan, plan


@sizes
def test_reservations_are_found_by_their_ids_and_by_their_end(grown: Connection, number: int) -> None:
    skus = sorted(set(names(number)[0]))
    plan = explain(grown, statements.READ_RESERVATIONS, ids(number), skus, skus)
    assert "Seq Scan" not in plan, plan
    overdue = explain(grown, statements.READ_OVERDUE, number)
    assert "Seq Scan" not in overdue
    # Those that are pending and have time left are not even looked at.
    for each in (plan, overdue):
        assert "Index Cond: (expire_time <= statement_timestamp())" in each, each


@sizes
def test_who_waits_is_found_by_the_level(grown: Connection, number: int) -> None:
    levels = [f"{sku} {place}" for sku, place in zip(*names(number), strict=True)]
    plan = explain(grown, statements.READ_WAITING_ORDERS, levels)
    assert "orders_waiting" in plan
    assert "Seq Scan" not in plan, plan


@sizes
def test_lots_and_serials_are_found_by_their_keys(grown: Connection, number: int) -> None:
    plan = explain(grown, statements.READ_LOTS, *names(number), ["lot-2"])
    assert f"(actual rows={3 * number}.00" in plan
    assert "Seq Scan" not in plan, plan
    skus, places = names(number)
    plan = explain(grown, statements.READ_SERIALS, skus, [f"{place}lot-1" for place in places])
    assert plan.startswith(f"LockRows (actual rows={number}.00")
    assert "Seq Scan" not in plan, plan


@sizes
def test_what_items_and_places_are_is_found_by_their_keys(grown: Connection, number: int) -> None:
    skus, places = (sorted(set(some)) for some in names(number))
    for statement in (statements.READ_FACTS, statements.READ_NEW_FACTS):
        assert "Seq Scan" not in explain(grown, statement, skus, skus)
    plan = explain(grown, statements.READ_CLOCK, skus, places)
    # That table is of one row.
    assert "Seq Scan" not in plan.replace("Seq Scan on installation", ""), plan
    assert "Seq Scan" not in explain(grown, statements.READ_LEVEL_KEYS, skus[:1])
    assert "Seq Scan" not in explain(grown, statements.READ_SITES, places, skus, skus)


@sizes
def test_rows_are_written_by_their_keys(grown: Connection, number: int) -> None:
    now = [datetime.now(UTC)] * number
    lots = [[n] * number for n in (5, 0, 0, 2)]
    plan = explain(
        grown, writes.UPDATE_LOTS, *names(number), ["lot-1"] * number, [None] * number, *lots, now, now
    )
    assert f"(actual rows={number}.00" in plan
    assert "Seq Scan" not in plan, plan
    ones, one = ["{1}"] * number, ["{a}"] * number
    texts = [["a"] * number] * 3
    plan = explain(
        grown,
        writes.UPDATE_ORDERS,
        ids(number),
        ["OPEN"] * number,
        *(one, ones, one, one, one, ones, ones, ones, ones, ones, one),
        *texts,
        [2] * number,
        now,
        now,
    )
    assert f"(actual rows={number}.00" in plan
    assert "Seq Scan" not in plan, plan
