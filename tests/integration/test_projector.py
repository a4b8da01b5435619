"""The projector on a real broker and a Redis of its own: whatever is hurt, the view holds the journal."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cdc.dead_letter import DeadLetter
from cdc.dead_letter_topic import DeadLetterTopic
from cdc.topics import DEAD_LETTERS, TOPICS
from client import InventoryClient
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.reservation_command_service_pb2 import ReserveLine, ReserveStockRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT, StockLevel
from query_svc.read_model.keys import GENERATION, Keys, bucket_of
from query_svc.read_model.values import unpack_level
from stack.readiness import grpc_health
from tests.redis_cluster import Servers
from tests.redis_server import binaries, content, free_port, redis_server
from tests.stack_fixture import RunningStack
from tests.stock import item, level, location, transaction

pytestmark = pytest.mark.stack

PATIENCE = 30.0
SKUS = [f"SKU-{number}" for number in range(40)]
DEAD_LETTER_SETTINGS = next(topic.settings for topic in TOPICS if topic.name == DEAD_LETTERS)
KEYS = Keys(GENERATION)


class World:
    """A journal topic and a Redis of the test's own, and the projectors between them."""

    def __init__(self, stack: RunningStack, folder: Path, redis: Servers) -> None:
        self.topic = f"journal-{uuid4().hex[:8]}"
        self.redis = redis
        self.logs: list[Path] = []
        self._brokers = stack.bootstrap_servers
        self._database_url = stack.postgres_url("query")
        self._folder = folder
        self._admin = AdminClient({"bootstrap.servers": self._brokers})
        self._producer = Producer({"bootstrap.servers": self._brokers})
        self._processes: list[subprocess.Popen[bytes]] = []
        self.create_topic()
        self.dead_letters = f"{self.topic}-dead"
        dead = NewTopic(self.dead_letters, 1, 1, config=DEAD_LETTER_SETTINGS)
        for created in self._admin.create_topics([dead]).values():
            created.result()

    def letters(self) -> list[DeadLetter]:
        """Return the dead letters there are."""
        topic = DeadLetterTopic(self._brokers, self.dead_letters)
        found = topic.letters()
        topic.close()
        return found

    def resolve(self, letter: DeadLetter) -> None:
        """Take a dead letter away."""
        self._producer.produce(self.dead_letters, None, letter.letter_id)
        assert self._producer.flush(PATIENCE) == 0

    def create_topic(self) -> None:
        """Create the topic, and wait until the broker knows it."""
        for created in self._admin.create_topics([NewTopic(self.topic, 1, 1)]).values():
            created.result()
        until(lambda: self.topic in self._admin.list_topics(timeout=10).topics)

    def delete_topic(self) -> None:
        """Delete the topic, and wait until the broker has forgotten it."""
        for deleted in self._admin.delete_topics([self.topic]).values():
            deleted.result()
        until(lambda: self.topic not in self._admin.list_topics(timeout=10).topics)

    def trim_topic(self, offset: int) -> None:
        """Delete the records before an offset."""
        for deleted in self._admin.delete_records([TopicPartition(self.topic, 0, offset)]).values():
            deleted.result()

    def committed(self) -> int:
        """Return the offset that the group has committed."""
        partitions = [ConsumerGroupTopicPartitions(self.topic, [TopicPartition(self.topic, 0)])]
        (found,) = self._admin.list_consumer_group_offsets(partitions).values()
        return int(found.result().topic_partitions[0].offset)

    def write(self, records: Sequence[Transaction | bytes]) -> None:
        """Append records to the journal."""
        for record in records:
            value = record if isinstance(record, bytes) else record.SerializeToString()
            self._producer.produce(self.topic, value)
        assert self._producer.flush(PATIENCE) == 0

    def start(self, **settings: str) -> tuple[subprocess.Popen[bytes], Callable[[], str | None]]:
        """Start a projector; return it with the check of its health."""
        address = f"127.0.0.1:{free_port()}"
        environment = os.environ | {
            "INVENTORY_CDC_BOOTSTRAP_SERVERS": self._brokers,
            "INVENTORY_CDC_REDIS_URL": self.redis.url,
            "INVENTORY_CDC_DATABASE_URL": self._database_url,
            "INVENTORY_CDC_LISTEN": address,
            "INVENTORY_CDC_TOPIC": self.topic,
            "INVENTORY_CDC_GROUP_ID": self.topic,
            "INVENTORY_CDC_DEAD_LETTERS_TOPIC": self.dead_letters,
            **settings,
        }
        self.logs.append(self._folder / f"projector-{len(self.logs)}.log")
        with self.logs[-1].open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cdc", "projector"], env=environment, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process, grpc_health(address)

    def logged(self, text: str) -> bool:
        """Tell whether the last projector has logged the text."""
        return text in self.logs[-1].read_text()

    def level(self, sku: str, location_id: str) -> StockLevel | None:
        """Return a level of the view."""
        with self.redis.client() as client:
            value = client.hget(KEYS.levels(sku), location_id)
        return None if value is None else unpack_level(sku, location_id, bytes(value))

    def shows(self, expected: StockLevel) -> Callable[[], bool]:
        """Return the check whether the view shows a level."""
        return lambda: self.level(expected.sku, expected.location_id) == expected

    def contents(self) -> dict[str, object]:
        """Return all that the view holds, but the offsets."""
        with self.redis.client() as client:
            return content(client)

    def close(self) -> None:
        """End every projector and delete the topic."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._admin.delete_topics([self.topic, self.dead_letters])


def until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it has not come true"
        time.sleep(0.01)


def history(length: int, seed: int = 1) -> list[Transaction]:
    """Return transactions, each with the next versions of a few levels, an item and a location."""
    rng = random.Random(seed)
    versions: dict[str, int] = dict.fromkeys(SKUS, 0)
    records = []
    for number in range(1, length + 1):
        contents: list[StockLevel] = []
        for sku in rng.sample(SKUS, 5):
            versions[sku] += 1
            contents.append(level(sku, "WH-1", versions[sku], on_hand=number))
        records.append(
            transaction(
                number, *contents, item(SKUS[number % 40], number), location(f"WH-{number % 3}", number)
            )
        )
    return records


def newest(records: Sequence[Transaction]) -> dict[str, StockLevel]:
    """Return the last level of each SKU."""
    return {one.sku: one for record in records for one in record.levels}


def newest_or_none(records: Sequence[Transaction]) -> dict[str, StockLevel | None]:
    """Return the last level of each of SKUS, None for those without."""
    found = newest(records)
    return {sku: found.get(sku) for sku in SKUS}


def end(number: int) -> tuple[Transaction, StockLevel]:
    """Return a last record and the level by which it is seen to be applied."""
    mark = level("END", "WH-1", number)
    return transaction(number, mark), mark


@pytest.fixture
def world(stack: RunningStack, tmp_path: Path) -> Iterator[World]:
    """Give an empty world."""
    with ExitStack() as closing:
        redis = closing.enter_context(redis_server(binaries()["valkey"], tmp_path))
        world = World(stack, tmp_path, redis)
        closing.callback(world.close)
        yield world


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
    last, mark = end(1)
    world.write([last])
    world.start()
    until(world.shows(mark), patience=5)
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
    assert {sku: world.level(sku, "WH-1") for sku in SKUS} == newest(records)


@pytest.mark.slow
def test_a_projector_that_was_asleep_does_no_harm(world: World) -> None:
    """Stopped long enough for another to take over, and then revived, it overwrites nothing."""
    records = history(900)
    sleeper, _ = world.start()
    until(lambda: world.logged('"event": "reading"'))
    world.write(records[:300])
    os.kill(sleeper.pid, signal.SIGSTOP)
    world.start()
    world.write(records[300:600])
    expected = newest(records[:600])
    until(lambda: {sku: world.level(sku, "WH-1") for sku in SKUS} == expected)
    os.kill(sleeper.pid, signal.SIGCONT)
    last, mark = end(1)
    world.write([*records[600:], last])
    until(world.shows(mark))
    time.sleep(1)
    assert {sku: world.level(sku, "WH-1") for sku in SKUS} == newest(records)
    assert sleeper.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("hurt", [signal.SIGKILL, signal.SIGSTOP])
def test_a_standby_takes_over_within_ten_seconds(world: World, number: int, hurt: signal.Signals) -> None:
    """Of several one reads; when it is gone, another does; who is revived does no harm."""
    projectors = [world.start() for _ in range(number)]
    records = history(300 * number)
    asleep = []
    for turn in range(number):
        until(lambda: any(healthy() is None for _, healthy in projectors))
        (reader,) = [one for one in projectors if one[1]() is None]
        expected = newest(records[: 300 * (turn + 1) - 150])
        world.write(records[300 * turn : 300 * (turn + 1) - 150])
        until(lambda: {sku: world.level(sku, "WH-1") for sku in SKUS} == expected)  # noqa: B023 - called at once
        if turn == number - 1:
            break
        # In the middle of its work.
        world.write(records[300 * (turn + 1) - 150 : 300 * (turn + 1)])
        reader[0].send_signal(hurt)
        asleep.append(reader)
        projectors.remove(reader)
        expected = newest(records[: 300 * (turn + 1)])
        until(lambda: {sku: world.level(sku, "WH-1") for sku in SKUS} == expected, patience=10)  # noqa: B023
    for process, _ in asleep:
        process.send_signal(signal.SIGCONT)
    last, mark = end(1)
    world.write([*records[300 * number - 150 :], last])
    until(world.shows(mark))
    time.sleep(1)
    assert {sku: world.level(sku, "WH-1") for sku in SKUS} == newest(records)


async def test_what_has_never_come_is_fetched(world: World, stack: RunningStack) -> None:
    """A transaction that is missing in the topic shows as a gap, and all that it changed is fetched."""
    sku, place = f"G-{uuid4().hex[:8]}", f"P-{uuid4().hex[:8]}"
    async with InventoryClient(stack.envoy, actor="tester") as client:
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
    until(lambda: {sku: world.level(sku, "WH-1") for sku in SKUS} == expected)
    with world.redis.client() as client:
        client.save()
    world.write(records[200:])
    expected = newest(records)
    until(lambda: {sku: world.level(sku, "WH-1") for sku in SKUS} == expected)
    world.redis.kill()
    world.redis.start()
    until(lambda: {sku: world.level(sku, "WH-1") for sku in SKUS} == expected)


def test_records_that_cannot_be_decoded_become_dead_letters_and_the_rest_is_applied(world: World) -> None:
    records = history(30)
    poison = [
        b"\xff\xff",
        b"",
        b"\0\0\0\0\7\0framed",
        transaction(1, level("", "WH-1", 1)).SerializeToString(),
    ]
    last, mark = end(1)
    world.write([*records[:10], poison[0], *records[10:20], *poison[1:], *records[20:], last])
    process, healthy = world.start()
    until(world.shows(mark))
    until(lambda: {sku: world.level(sku, "WH-1") for sku in SKUS} == newest_or_none(records))
    assert [(one.kind, one.offset, one.reader) for one in world.letters()] == [
        ("UNDECODABLE", 10, world.topic),
        ("UNKNOWN_TYPE", 21, world.topic),
        ("UNKNOWN_SCHEMA", 22, world.topic),
        ("UNDECODABLE", 23, world.topic),
    ]
    until(lambda: healthy() is None)
    # Read again from the beginning, by a view that is empty: each is the same letter.
    world.redis.kill()
    world.redis.start()
    until(world.shows(mark))
    assert len(world.letters()) == 4
    assert process.poll() is None


def test_what_redis_refuses_is_tried_again_and_then_becomes_a_dead_letter(world: World) -> None:
    """A change whose key holds something else: neither its batch nor what follows waits for it."""
    with world.redis.client() as client:
        client.set(KEYS.levels("BAD"), "not a hash")
    records = history(40)
    bad = [transaction(number, level("BAD", "WH-1", number)) for number in (1, 2)]
    last, mark = end(1)
    world.write([*records[:15], bad[0], *records[15:25], bad[1], *records[25:], last])
    _, healthy = world.start()
    until(world.shows(mark))
    until(lambda: {sku: world.level(sku, "WH-1") for sku in SKUS} == newest_or_none(records))
    until(lambda: len(world.letters()) == 2)
    letters = world.letters()
    assert [(one.kind, one.offset, one.retry_count) for one in letters] == [
        ("REFUSED", 15, 3),
        ("REFUSED", 26, 3),
    ]
    assert "WRONGTYPE" in letters[0].error
    until(lambda: healthy() is None)


def test_with_too_many_dead_letters_it_halts_until_one_is_dealt_with(world: World) -> None:
    before, after = level("A", "WH-1", 1), level("A", "WH-1", 2)
    world.write([transaction(1, before), b"\xff\xff", b"\xff\xff", transaction(2, after)])
    process, healthy = world.start(INVENTORY_CDC_DEAD_LETTERS_LIMIT="1")
    until(lambda: world.logged("halted: deal with the dead letters"))
    until(lambda: healthy() is not None)
    assert world.level("A", "WH-1") == before
    assert [one.offset for one in world.letters()] == [1]
    world.resolve(world.letters()[0])
    until(world.shows(after))
    until(lambda: healthy() is None)
    assert [one.offset for one in world.letters()] == [2]
    assert process.poll() is None


def test_nothing_passes_a_record_whose_dead_letter_cannot_be_written(world: World) -> None:
    before, after = level("A", "WH-1", 1), level("A", "WH-1", 2)
    world.write([transaction(1, before), b"\xff\xff", transaction(2, after)])
    process, healthy = world.start(INVENTORY_CDC_DEAD_LETTERS_TOPIC=f"{world.topic}-missing")
    until(lambda: world.logged("starting over from the stored position"))
    until(lambda: healthy() is not None)
    assert world.level("A", "WH-1") == before
    process.kill()
    process.wait()
    world.start()
    until(world.shows(after))
    assert [one.offset for one in world.letters()] == [1]


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
    until(lambda: {sku: world.level(sku, "WH-1") for sku in SKUS} == newest(records))
    assert world.logged('"offset": "earliest"')
