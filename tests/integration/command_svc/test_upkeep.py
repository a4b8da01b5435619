"""The jobs of the schema on the real database: nothing dropped too early, nothing missing unnoticed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import chain
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from client import InventoryClient
from command_svc.store.errors import ConflictError, StoreError
from command_svc.store.upkeep import UpkeepStore
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from stack.supervisor import Supervisor
from tests.integration.command_svc.partitions import (
    Connection,
    add_partition,
    confirm,
    make_slot,
    old_partitions,
    superuser,
    today,
)
from tests.stack_fixture import RunningStack, running_stack

pytestmark = pytest.mark.stack

AT_ONCE = timedelta(0)
DAILY = ("requests", "journal")


@pytest.fixture(scope="module")
def database() -> Iterator[RunningStack]:
    """Give a database alone."""
    with running_stack("upkeep", only=("postgres", "database")) as running:
        yield running


@pytest.fixture
def owner(database: RunningStack) -> Iterator[Connection]:
    """Give the owner's connection to a database without marks, slot and old partitions."""
    with (
        psycopg.connect(database.postgres_url("owner"), autocommit=True) as connection,
        superuser(database) as other,
    ):
        other.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        connection.execute("TRUNCATE wal_marks")
        connection.execute("UPDATE upkeep_jobs SET success_time = 'epoch'")
        for name in old_partitions(connection):
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        yield connection


@pytest.fixture
async def store(database: RunningStack) -> AsyncIterator[UpkeepStore]:
    """Give the store of a command service."""
    async with UpkeepStore(database.postgres_url("command"), connect_timeout=5.0) as opened:
        yield opened


async def dropped(store: UpkeepStore) -> list[str]:
    """Do the job of expiry to its end; return what it dropped, in that order."""
    names = []
    while name := await store.drop_expired_partition(AT_ONCE):
        names.append(name)
    return names


# Expiry


async def test_what_is_older_than_seven_days_and_confirmed_goes(
    database: RunningStack, owner: Connection, store: UpkeepStore
) -> None:
    made = {days: [add_partition(owner, table, days) for table in DAILY] for days in (7, 8, 9)}
    make_slot(database)
    await store.mark_wal(AT_ONCE)
    confirm(database)
    assert await dropped(store) == sorted(made[9]) + sorted(made[8])
    # Seven whole days and today.
    assert old_partitions(owner) == set(made[7])
    assert await dropped(store) == []


async def test_nothing_goes_without_a_slot(
    database: RunningStack, owner: Connection, store: UpkeepStore
) -> None:
    name = add_partition(owner, "journal", 30)
    make_slot(database, "another")
    await store.mark_wal(AT_ONCE)
    assert await dropped(store) == []
    assert old_partitions(owner) == {name}
    assert (await store.condition()).confirmed_until is None


async def test_nothing_goes_before_a_mark_is_confirmed(
    database: RunningStack, owner: Connection, store: UpkeepStore
) -> None:
    """The slot is where it was before the mark: what was committed in between may not have been read."""
    name = add_partition(owner, "journal", 30)
    make_slot(database)
    owner.execute("INSERT INTO journal VALUES (uuidv7(), 1, 1, 'unread', now() - interval '30 days')")
    await store.mark_wal(AT_ONCE)
    assert await dropped(store) == []
    assert old_partitions(owner) == {name}
    confirm(database)
    assert await dropped(store) == [name]


@pytest.mark.parametrize(("after_its_end", "goes"), [(-1, False), (59, False), (60, True)])
async def test_a_mark_proves_what_ended_an_hour_before_it(
    database: RunningStack, owner: Connection, store: UpkeepStore, *, after_its_end: int, goes: bool
) -> None:
    name = add_partition(owner, "journal", 30)
    end = datetime.combine(today() - timedelta(days=29), datetime.min.time(), UTC)
    owner.execute(
        "INSERT INTO wal_marks VALUES (%s, pg_current_wal_insert_lsn())",
        (end + timedelta(minutes=after_its_end),),
    )
    make_slot(database)
    confirm(database)
    assert await dropped(store) == [name] * goes


async def test_a_reader_of_the_table_delays_the_drop_and_no_writer(
    database: RunningStack, owner: Connection, store: UpkeepStore
) -> None:
    name = add_partition(owner, "journal", 8)
    make_slot(database)
    await store.mark_wal(AT_ONCE)
    confirm(database)
    with psycopg.connect(database.postgres_url("query")) as reader:
        reader.execute("SELECT count(*) FROM journal")
        attempt = asyncio.create_task(store.drop_expired_partition(AT_ONCE))
        longest = await asyncio.to_thread(write_for, database, 0.5)
        with pytest.raises(ConflictError):
            await attempt
    assert longest < 0.4  # a writer that waits behind the drop waits for 100 ms at most
    assert await dropped(store) == [name]


def write_for(database: RunningStack, seconds: float) -> float:
    """Write into the journal again and again; return the longest time that it took once."""
    longest = 0.0
    with psycopg.connect(database.postgres_url("command"), autocommit=True) as connection:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.monotonic()
            connection.execute("INSERT INTO journal VALUES (uuidv7(), 1, 1, '', now())")
            longest = max(longest, time.monotonic() - begun)
    return longest


async def test_a_slot_that_has_lost_its_log_proves_nothing(
    database: RunningStack, owner: Connection, store: UpkeepStore
) -> None:
    """PostgreSQL has given up on the slot: what it would have confirmed is not to be had any more."""
    name = add_partition(owner, "journal", 30)
    make_slot(database)
    await store.mark_wal(AT_ONCE)
    confirm(database)
    assert (await store.condition()).confirmed_until is not None
    with superuser(database) as connection:
        connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        try:
            connection.execute("SELECT pg_reload_conf()")
            for _ in range(3):
                connection.execute("SELECT pg_logical_emit_message(false, 'fill', 'x')")
                connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
            lost = connection.execute("SELECT wal_status FROM pg_replication_slots").fetchall()
        finally:
            connection.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            connection.execute("SELECT pg_reload_conf()")
    assert lost == [("lost",)]
    assert await dropped(store) == []
    assert old_partitions(owner) == {name}


async def test_marks_are_kept_for_a_while(owner: Connection, store: UpkeepStore) -> None:
    owner.execute("INSERT INTO wal_marks VALUES (now() - interval '31 days', '0/1'), (now(), '0/2')")
    await store.mark_wal(AT_ONCE)
    assert owner.execute("SELECT count(*) FROM wal_marks").fetchone() == (2,)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_the_real_connector_confirms_and_one_that_stands_still_does_not(stack: RunningStack) -> None:
    async with InventoryClient(stack.envoy, actor="tester") as client:
        await client.create_item(CreateItemRequest(sku=f"U-{uuid4().hex[:8]}", name="Mug"))
    with psycopg.connect(stack.postgres_url("owner"), autocommit=True) as owner:
        first, second = (add_partition(owner, "journal", days) for days in (20, 19))
        async with UpkeepStore(stack.postgres_url("command"), connect_timeout=5.0) as store:
            await store.mark_wal(AT_ONCE)
            async with asyncio.timeout(60):
                while first in old_partitions(owner) or second in old_partitions(owner):
                    await dropped(store)
                    await asyncio.sleep(0.5)

            Supervisor(stack.home).stop_program("connect")
            try:
                third = add_partition(owner, "journal", 18)
                # What the projector knows already, so that it does no harm.
                owner.execute(
                    "INSERT INTO journal SELECT id, part, part_count, payload, now() - interval '18 days'"
                    " FROM journal WHERE part_count = 1 LIMIT 1"
                )
                owner.execute("TRUNCATE wal_marks")
                await store.mark_wal(AT_ONCE)
                for _ in range(4):
                    assert await dropped(store) == []
                    await asyncio.sleep(0.5)
            finally:
                Supervisor(stack.home).start_program("connect")
                stack.wait_ready("connect")
                stack.wait_ready("connector")
            async with asyncio.timeout(60):
                while third in old_partitions(owner):
                    await dropped(store)
                    await asyncio.sleep(0.5)


# Jobs


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
