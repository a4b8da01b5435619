"""The jobs of the schema: done when due, by one at a time, nothing missing unnoticed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import chain

import psycopg
import pytest
from psycopg import sql

from command_svc.store.errors import ConflictError, StoreError
from command_svc.store.upkeep import UpkeepStore
from tests.integration.command_svc.partitions import (
    Connection,
    add_partition,
    confirm,
    make_slot,
    today,
)
from tests.integration.command_svc.upkeep.jobs import AT_ONCE, DAILY
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


async def test_a_job_is_done_when_it_is_due_and_by_one_at_a_time(
    owner: Connection, store: UpkeepStore, database: RunningStack
) -> None:
    hour = timedelta(hours=1)
    with psycopg.connect(database.postgres_url("owner")) as other:
        other.execute("SELECT FROM upkeep_jobs WHERE job = 'partitions' FOR UPDATE")
        assert await store.create_partitions(hour) is None
    assert await store.create_partitions(hour) == 0
    assert await store.create_partitions(hour) is None
    owner.execute("UPDATE upkeep_jobs SET success_time = now() - interval '1 hour'")
    assert await store.create_partitions(hour) == 0


async def test_several_at_once_do_each_thing_once(
    database: RunningStack, owner: Connection, store: UpkeepStore
) -> None:
    old = {add_partition(owner, table, days) for table in DAILY for days in (8, 9, 10, 11)}
    ahead = {f"{table}_{today() + timedelta(days=days):%Y%m%d}" for table in DAILY for days in (5, 6, 7)}
    for name in ahead:
        owner.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    make_slot(database)
    await store.mark_wal(AT_ONCE)
    confirm(database)

    async def work(worker: UpkeepStore) -> tuple[int, list[str]]:
        made, gone = 0, []
        for _ in range(30):
            made += await worker.create_partitions(AT_ONCE) or 0
            await worker.refresh_summary(AT_ONCE)
            try:
                gone += [name for name in [await worker.drop_expired_partition(AT_ONCE)] if name]
            except ConflictError:  # a lock was not to be had: the next round tries again
                continue
        return made, gone

    async with AsyncExitStack() as opened:
        workers = [
            await opened.enter_async_context(
                UpkeepStore(database.postgres_url("command"), connect_timeout=5.0)
            )
            for _ in range(4)
        ]
        done = await asyncio.gather(*map(work, workers))
    assert sum(made for made, _ in done) == len(ahead)
    assert sorted(chain.from_iterable(gone for _, gone in done)) == sorted(old)
    assert ahead <= {partition.child for partition in (await store.condition()).partitions}


async def test_a_job_that_fails_is_due_still(owner: Connection, store: UpkeepStore) -> None:
    owner.execute("REVOKE EXECUTE ON FUNCTION create_partitions() FROM inventory_command")
    try:
        with pytest.raises(StoreError):
            await store.create_partitions(AT_ONCE)
    finally:
        owner.execute("GRANT EXECUTE ON FUNCTION create_partitions() TO inventory_command")
    assert await store.create_partitions(timedelta(hours=1)) == 0


async def test_partitions_are_made_ahead(owner: Connection, store: UpkeepStore) -> None:
    last = f"journal_{today() + timedelta(days=7):%Y%m%d}"
    owner.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(last)))
    assert await store.create_partitions(AT_ONCE) == 1
    assert last in {partition.child for partition in (await store.condition()).partitions}


async def test_the_summary_is_what_the_levels_add_up_to(owner: Connection, store: UpkeepStore) -> None:
    owner.execute(
        "INSERT INTO items (sku, name, description, kind, unit_of_measure, categories, tags, barcodes,"
        " metadata, state, version, create_time, update_time)"
        " SELECT 'SUM-' || n, 'Mug', '', 'PHYSICAL', 'each', '{}', '{}', '{}', '{}', 'ACTIVE', 1,"
        " now(), now() FROM generate_series(1, 3) AS n"
    )
    owner.execute(
        "INSERT INTO locations (location_id, name, kind, region_code, postal_code, locality, address_lines,"
        " time_zone, priority, ships_online_orders, state, version, create_time, update_time)"
        " SELECT 'SUM-' || n, '', 'STORE', '', '', '', '{}', '', 0, true, 'ACTIVE', 1, now(), now()"
        " FROM generate_series(1, 2) AS n"
    )
    owner.execute(
        "INSERT INTO stock_levels (sku, location_id, on_hand, reserved, backordered, in_transit,"
        " backorder_limit, version, update_time)"
        " SELECT sku, location_id, 1000000000000000, 4, 3, 2, 10, 1, '2026-01-01' FROM items, locations"
        " WHERE sku <> 'SUM-3'"
    )
    await store.refresh_summary(AT_ONCE)
    read = (
        "SELECT sku, locations, on_hand, reserved, available, backordered, in_transit FROM mv_stock_summary"
    )
    big = 2 * 10**15
    assert owner.execute(f"{read} ORDER BY sku").fetchall() == [
        (sku, 2, big, 8, big - 8, 6, 4) for sku in ("SUM-1", "SUM-2")
    ]
    owner.execute("DELETE FROM stock_levels WHERE sku = 'SUM-1'")
    await store.refresh_summary(timedelta(minutes=1))  # not due
    assert len(owner.execute(read).fetchall()) == 2
    await store.refresh_summary(AT_ONCE)
    assert len(owner.execute(read).fetchall()) == 1


@pytest.mark.parametrize(
    "call",
    [
        "create_partitions()",
        "mark_wal()",
        "drop_expired_partition()",
        "confirmed_until()",
        "drop_ledger_month('2023-01-01', 0, 0, '')",
    ],
)
@pytest.mark.parametrize("role", ["command", "query", "cdc", "archive"])
def test_each_function_is_for_the_role_that_needs_it(database: RunningStack, role: str, call: str) -> None:
    with psycopg.connect(database.postgres_url(role)) as connection:
        try:
            connection.execute(f"SELECT {call}".encode())
        except psycopg.errors.InsufficientPrivilege:
            may = False
        except psycopg.DatabaseError:
            may = True
        else:
            may = True
        connection.rollback()
    assert may == (role == ("archive" if "ledger" in call else "command"))
