"""The projector on a real broker and a Redis of its own: whatever is hurt, the view holds the journal."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.reservation_command_service_pb2 import ReserveLine, ReserveStockRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from query_svc.read_model.keys import bucket_of
from tests.integration.projector_world import KEYS, SKUS, World, end, history, newest, projector_world, until
from tests.redis_server import binaries, redis_server
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


@pytest.fixture
def world(stack: RunningStack, tmp_path: Path) -> Iterator[World]:
    """Give an empty world."""
    with (
        redis_server(binaries()["valkey"], tmp_path) as redis,
        projector_world(stack, tmp_path, redis) as world,
    ):
        yield world


def roles(world: World, *projectors: subprocess.Popen[bytes]) -> list[str]:
    """Return what projectors say that they are; who is revived says otherwise once it has noticed."""
    return sorted(map(world.role, projectors))


def test_it_follows_and_hands_over(world: World) -> None:
    """SIGTERM: what is in hand is applied, the offset committed, the group left; the next begins at once."""
    records = history(200)
    world.write(records)
    first, healthy = world.start()
    until(lambda: healthy() is None)
    for expected in newest(records).values():
        until(world.shows(expected))
    first.send_signal(signal.SIGTERM)
    assert first.wait(10) == 0
    assert world.committed() == 200
    # Nobody waits for the end of its session.
    assert world.members() == 0
    last, mark = end(1)
    world.write([last])
    world.start()
    until(world.shows(mark))
    assert world.logged('"offset": 200')


def test_doubled_and_disordered_delivery_changes_no_byte(world: World) -> None:
    records = history(300)
    last, mark = end(1)
    world.write([*records, last])
    world.start()
    until(world.shows(mark))
    before = world.contents()
    disordered = records * 2
    random.Random(2).shuffle(disordered)
    last, mark = end(2)
    world.write([*disordered, last])
    until(world.shows(mark))
    after = world.contents()
    for contents in (before, after):
        del contents[KEYS.levels("END")]
    assert after == before


@pytest.mark.slow
def test_killed_again_and_again_it_loses_nothing(world: World) -> None:
    records = history(3000)
    for start in range(0, 3000, 1000):
        process, _ = world.start()
        until(lambda: world.logged('"event": "reading"'))
        world.write(records[start : start + 1000])
        process.kill()
        process.wait()
    last, mark = end(1)
    world.write([last])
    world.start()
    until(world.shows(mark))
    assert world.levels() == newest(records)


@pytest.mark.slow
def test_a_projector_that_was_asleep_does_no_harm(world: World) -> None:
    """Stopped long enough for another to take over, and then revived, it overwrites nothing."""
    records = history(900)
    sleeper, _ = world.start()
    until(lambda: world.logged('"event": "reading"'))
    world.write(records[:300])
    os.kill(sleeper.pid, signal.SIGSTOP)
    other, _ = world.start()
    world.write(records[300:600])
    expected = newest(records[:600])
    until(lambda: world.levels() == expected)
    os.kill(sleeper.pid, signal.SIGCONT)
    last, mark = end(1)
    world.write([*records[600:], last])
    until(world.shows(mark))
    until(lambda: roles(world, sleeper, other) == ["active", "standby"])
    assert world.levels() == newest(records)
    assert sleeper.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("hurt", [signal.SIGKILL, signal.SIGSTOP])
def test_a_standby_takes_over_within_ten_seconds(world: World, number: int, hurt: signal.Signals) -> None:
    """Of several one reads; when it is gone, another does; who is revived does no harm."""
    started = [world.start() for _ in range(number)]
    until(lambda: all(healthy() is None for _, healthy in started))
    projectors = [process for process, _ in started]
    records = history(300 * number)
    asleep = []
    for turn in range(number):
        until(lambda: roles(world, *projectors) == ["active", *["standby"] * (len(projectors) - 1)])
        (reader,) = [one for one in projectors if world.role(one) == "active"]
        expected = newest(records[: 300 * (turn + 1) - 150])
        world.write(records[300 * turn : 300 * (turn + 1) - 150])
        until(lambda: world.levels() == expected)  # noqa: B023 - called at once
        if turn == number - 1:
            break
        # In the middle of its work.
        world.write(records[300 * (turn + 1) - 150 : 300 * (turn + 1)])
        reader.send_signal(hurt)
        asleep.append(reader)
        projectors.remove(reader)
        expected = newest(records[: 300 * (turn + 1)])
        until(lambda: world.levels() == expected, patience=10)  # noqa: B023
    for process in asleep:
        process.send_signal(signal.SIGCONT)
    last, mark = end(1)
    world.write([*records[300 * number - 150 :], last])
    until(world.shows(mark))
    alive = [*projectors, *(asleep if hurt == signal.SIGSTOP else ())]
    until(lambda: roles(world, *alive) == ["active", *["standby"] * (len(alive) - 1)])
    assert world.levels() == newest(records)


async def test_what_has_never_come_is_fetched(world: World, stack: RunningStack) -> None:
    """A transaction that is missing in the topic shows as a gap, and all that it changed is fetched."""
    sku, place = f"G-{uuid4().hex[:8]}", f"P-{uuid4().hex[:8]}"
    async with stack.client("tester") as client:
        await client.create_item(CreateItemRequest(sku=sku, name="Mug"))
        await client.create_location(
            CreateLocationRequest(location_id=place, name="North", kind=LOCATION_KIND_STORE)
        )
        receipt = AddStockRequest(sku=sku, location_id=place, quantity=5, reason=MOVEMENT_REASON_RECEIPT)
        await client.add_stock(receipt)
        line = ReserveLine(sku=sku, location_id=place, quantity=2)
        held = await client.reserve_stock(ReserveStockRequest(lines=[line]))
        await client.add_stock(receipt)
    with psycopg.connect(stack.postgres_url("query")) as connection:
        payloads = [row[0] for row in connection.execute("SELECT payload FROM journal ORDER BY id, part")]
    records = [Transaction.FromString(payload) for payload in payloads]
    first, lost, last = [one for one in records if any(level.sku == sku for level in one.levels)]
    assert lost.reservations
    world.write([first, last])
    world.start()
    until(world.shows(last.levels[0]))
    name = held.reservation.reservation_id
    with world.redis.client() as client:
        until(
            lambda: bool(client.hexists(KEYS.of_bucket(bucket_of(name), "reservations"), name)), patience=10
        )
    assert world.level(sku, place) == last.levels[0]
    assert world.logged("changes of a level have never come")
    assert world.logged('"source": "journal"')


def test_a_redis_that_comes_back_empty_is_filled_again(world: World) -> None:
    records = history(200)
    last, mark = end(1)
    world.write([*records, last])
    _, healthy = world.start()
    until(world.shows(mark))
    until(lambda: healthy() is None)
    before = world.contents()
    world.redis.kill()
    until(lambda: healthy() is not None)
    world.redis.start()
    until(lambda: healthy() is None)
    until(lambda: world.contents() == before)


def test_a_redis_that_lost_its_last_moments_catches_up(world: World) -> None:
    """Unnoticed, between two batches: the offsets beside the data tell where to read again."""
    records = history(400)
    world.write(records[:200])
    world.start()
    expected = newest(records[:200])
    until(lambda: world.levels() == expected)
    with world.redis.client() as client:
        client.save()
    world.write(records[200:])
    expected = newest(records)
    until(lambda: world.levels() == expected)
    world.redis.kill()
    world.redis.start()
    until(lambda: world.levels() == expected)


def test_records_that_are_gone_are_not_passed_over_in_silence(world: World) -> None:
    records = history(100)
    world.write(records[:20])
    process, _ = world.start()
    expected = newest(records[:20])
    until(lambda: all(world.level(sku, "WH-1") == one for sku, one in expected.items()))
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    world.write(records[20:])
    world.trim_topic(60)
    world.start()
    until(world.shows(newest(records)[SKUS[0]]))
    assert world.logged("records are gone that were not read")
    assert world.logged('"offset": "earliest"')


def test_a_topic_made_anew_is_read_from_its_beginning(world: World) -> None:
    """Even where it already has records at the stored offset."""
    records = history(50)
    world.write(records[:10])
    process, _ = world.start()
    expected = newest(records[:10])
    until(lambda: all(world.level(sku, "WH-1") == one for sku, one in expected.items()))
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    world.delete_topic()
    world.create_topic()
    world.write(records[10:])
    world.start()
    until(lambda: world.levels() == newest(records))
    assert world.logged('"offset": "earliest"')
