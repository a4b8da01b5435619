"""The relay on a real broker and registry: whatever is hurt, each event is told once and in order."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cdc.events import make
from cdc.relay_process import STUCK_EXIT_CODE
from examples.stock_events import Stock, decode, follow
from inventory.event.v1.stock_event_pb2 import StockEvent
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.stock_pb2 import (
    MOVEMENT_KIND_ADD,
    MOVEMENT_REASON_RECEIPT,
    StockMovement,
    StockQuantities,
)
from tests.integration.relay_world import RelayWorld, Told, until
from tests.stack_fixture import RunningStack, running_stack
from tests.stock import level

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

SKUS = [f"SKU-{number}" for number in range(30)]


@pytest.fixture(scope="module")
def parts() -> Iterator[RunningStack]:
    """Give a broker and a registry."""
    only = ("postgres", "database", "broker", "topics", "registry")
    with running_stack("test-relay", only=only) as running:
        yield running


@pytest.fixture
def world(parts: RunningStack, tmp_path: Path) -> Iterator[RelayWorld]:
    world = RelayWorld(parts, tmp_path)
    yield world
    world.close()


def history(length: int, seed: int = 1) -> list[Transaction]:
    """Return transactions, each with the next receipts of a few levels; every seventh in two parts."""
    rng = random.Random(seed)
    versions: dict[str, int] = dict.fromkeys(SKUS, 0)
    records: list[Transaction] = []
    for number in range(1, length + 1):
        here: list[Transaction] = []
        count = 2 if number % 7 == 0 else 1
        for part in range(1, count + 1):
            record = Transaction(transaction_id=str(UUID(int=number)), part=part, part_count=count)
            for sku in rng.sample(SKUS, 4):
                versions[sku] += 1
                version = versions[sku]
                record.movements.append(
                    StockMovement(
                        sku=sku,
                        location_id="WH-1",
                        version=version,
                        kind=MOVEMENT_KIND_ADD,
                        reason=MOVEMENT_REASON_RECEIPT,
                        delta=StockQuantities(on_hand=1),
                        result=StockQuantities(on_hand=version),
                        record_time=Timestamp(seconds=1_790_000_000 + number),
                    )
                )
                record.levels.append(level(sku, "WH-1", version, on_hand=version))
            here.append(record)
        records += here
    return records


def expected(records: Sequence[Transaction]) -> list[str]:
    """Return the ids of all events of the records, sorted."""
    return sorted(event.message.event_id for record in records for event in make(record))


def check(world: RelayWorld, records: Sequence[Transaction]) -> None:
    """Check that each event is told once, the events of each level in the order of their versions."""
    ids = expected(records)
    # The position shows a moment before the last of what was committed with it.
    until(lambda: len(world.told()) >= len(ids))
    told = world.told()
    assert sorted(one.event_id for one in told) == ids
    versions: dict[str, list[int]] = defaultdict(list)
    partitions: dict[str, set[int]] = defaultdict(set)
    for one in told:
        versions[one.key].append(event(one).entry.version)
        partitions[one.key].add(one.partition)
    disordered = {key: found for key, found in versions.items() if found != sorted(found)}
    assert not disordered
    assert all(len(found) == 1 for found in partitions.values())


def event(told: Told) -> StockEvent:
    """Return the event in a record."""
    return StockEvent.FromString(told.value[6:])


def test_it_tells_each_event_once_in_order_with_its_schema_registered(world: RelayWorld) -> None:
    records = history(100)
    world.write(records)
    relay, healthy = world.start()
    world.relayed(len(records))
    until(lambda: healthy() is None)
    check(world, records)
    one = world.told()[0]
    subject = f"{world.topic('stock')}-value"
    number = int.from_bytes(one.value[1:5], "big")
    assert one.value[:1] == one.value[5:6] == b"\0"
    found = httpx.get(f"{world.registry_url}/subjects/{subject}/versions/latest", trust_env=False).json()
    assert found["id"] == number
    config = httpx.get(f"{world.registry_url}/config/{subject}", trust_env=False).json()
    assert config["compatibilityLevel"] == "BACKWARD"
    assert one.event_type == "StockAdded"
    # A graceful end leaves the group: the next one begins at once.
    relay.send_signal(signal.SIGTERM)
    assert relay.wait(20) == 0


def test_what_comes_one_by_one_is_told_together(world: RelayWorld) -> None:
    records = history(30)
    _, missing = world.start(INVENTORY_CDC_GATHER_SECONDS="2")
    until(lambda: missing() is None)
    for record in records:
        world.write([record])
        time.sleep(0.05)
    check(world, records)
    # Each would be a transaction of its own.
    assert 1 <= world.logs[-1].read_text().count('"published"') <= len(records) / 3


def test_a_journal_sent_again_is_told_once(world: RelayWorld) -> None:
    """Also to a relay that was started since, and from the middle of a transaction."""
    records = history(60)
    world.write([*records[:40], *records[20:40]])
    relay, _ = world.start()
    world.relayed(60)
    relay.send_signal(signal.SIGTERM)
    assert relay.wait(20) == 0
    again = next(place for place, record in enumerate(records) if record.part == 2) + 1
    world.write([*records[again:40], *records[30:]])
    world.start()
    world.relayed(60 + 40 - again + len(records) - 30)
    check(world, records)


def test_killed_in_the_middle_of_a_transaction_it_tells_each_event_once(world: RelayWorld) -> None:
    records = history(3000)
    world.write(records)
    for _ in range(2):
        relay, _ = world.start(INVENTORY_CDC_BATCH_EVENTS="300")
        caught = False
        while not caught and world.committed() < len(records):
            os.kill(relay.pid, signal.SIGSTOP)
            caught = world.has_open_transaction()
            os.kill(relay.pid, signal.SIGKILL if caught else signal.SIGCONT)
            time.sleep(0.02)
        assert caught
        relay.wait()
    world.start()
    world.relayed(len(records))
    check(world, records)


def test_a_relay_that_was_asleep_is_fenced_off(world: RelayWorld) -> None:
    """Stopped long enough for another to take over, and revived in the middle of a transaction."""
    records = history(900)
    sleeper, _ = world.start(INVENTORY_CDC_BATCH_EVENTS="100", INVENTORY_CDC_BATCH_RECORDS="25")
    world.write(records[:300])
    until(lambda: world.committed() > 0)
    os.kill(sleeper.pid, signal.SIGSTOP)
    other, _ = world.start()
    world.write(records[300:600])
    world.relayed(600)
    os.kill(sleeper.pid, signal.SIGCONT)
    world.write(records[600:])
    world.relayed(len(records))
    # Revived, it has noticed: whatever it had in hand has been tried by then.
    until(lambda: sorted(map(world.role, (sleeper, other))) == ["active", "standby"])
    check(world, records)
    assert sleeper.poll() is None


def test_a_broker_that_comes_back_is_written_on(parts: RunningStack, world: RelayWorld) -> None:
    records = history(200)
    world.write(records[:100])
    relay, healthy = world.start()
    world.relayed(100)
    parts.kill("broker")
    parts.wait_ready("broker")
    world.write(records[100:])
    world.relayed(len(records))
    until(lambda: healthy() is None)
    check(world, records)
    assert relay.poll() is None


def test_a_broker_that_hangs_in_a_transaction_ends_the_process_and_the_next_goes_on(
    parts: RunningStack, world: RelayWorld
) -> None:
    """Its client waits for it: the watchdog ends that, and the next process tells each event once."""
    records = history(3000)
    world.write(records)
    relay, _ = world.start(INVENTORY_CDC_BATCH_EVENTS="300", INVENTORY_CDC_STUCK_SECONDS="4")
    broker, caught = parts.pid("broker"), False
    while not caught and world.committed() < len(records):
        os.kill(relay.pid, signal.SIGSTOP)
        caught = world.has_open_transaction()
        if caught:
            os.kill(broker, signal.SIGSTOP)
        os.kill(relay.pid, signal.SIGCONT)
        time.sleep(0.02)
    try:
        assert caught
        assert relay.wait(60) == STUCK_EXIT_CODE
    finally:
        os.kill(broker, signal.SIGCONT)
    assert world.logged("a step does not end; this process does")
    assert world.committed() < len(records)
    world.start()
    world.relayed(len(records))
    check(world, records)


def test_a_schema_that_the_registry_refuses_stops_it(world: RelayWorld) -> None:
    subject = f"{world.topic('stock')}-value"
    strange = 'syntax = "proto3"; package inventory.event.v1; message StockEvent { int64 event_id = 1; }'
    body = {"schemaType": "PROTOBUF", "schema": strange}
    url = f"{world.registry_url}/subjects/{subject}/versions"
    httpx.post(url, json=body, trust_env=False).raise_for_status()
    config = f"{world.registry_url}/config/{subject}"
    httpx.put(config, json={"compatibility": "BACKWARD"}, trust_env=False).raise_for_status()
    relay, _ = world.start()
    assert relay.wait(60) == 1
    assert world.logged("the registry refuses a schema")


def test_another_teams_reader_gets_the_stock_right(world: RelayWorld) -> None:
    """The example as it stands, with a relay that is killed meanwhile."""
    records = history(300)
    world.write(records)
    relay, _ = world.start(INVENTORY_CDC_BATCH_EVENTS="100")
    until(lambda: world.committed() > 0)
    relay.kill()
    relay.wait()
    world.start()
    stock = Stock()
    reading = follow(world.brokers, f"{world.name}.example", world.topic("stock"))
    deadline = time.monotonic() + 60
    while sum(version for version, _ in stock.on_hand.values()) < sum(len(one.movements) for one in records):
        assert time.monotonic() < deadline
        for message in next(reading):
            stock.take(decode(message.value() or b""))
    reading.close()
    newest = {(one.sku, one.location_id): one for record in records for one in record.levels}
    assert stock.on_hand == {name: (one.version, one.on_hand) for name, one in newest.items()}
    assert (stock.repeated, stock.gaps, stock.unknown) == (0, 0, 0)
