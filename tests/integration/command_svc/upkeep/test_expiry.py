"""Nothing is dropped before it has been read, and all of it is after that."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from command_svc.store.errors import ConflictError
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
from tests.integration.command_svc.upkeep.jobs import AT_ONCE, DAILY, dropped
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


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
    async with stack.client("tester") as client:
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
