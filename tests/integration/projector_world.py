"""A journal and a Redis of a test's own on a real broker, and the projectors between them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from uuid import uuid4

from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription
from confluent_kafka.cimpl import NewTopic

from cdc.dead_letter import DeadLetter
from cdc.dead_letter_topic import DeadLetterTopic
from cdc.topics import DEAD_LETTERS, TOPICS
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model.keys import GENERATION, Keys
from query_svc.read_model.values import unpack_level
from stack.readiness import grpc_health, grpc_role
from tests.ports import free_port
from tests.redis_cluster import Servers
from tests.redis_server import content
from tests.stack_fixture import RunningStack
from tests.stock import item, level, location, transaction

PATIENCE = 30.0
SKUS = [f"SKU-{number}" for number in range(40)]
DEAD_LETTER_SETTINGS = next(topic.settings for topic in TOPICS if topic.name == DEAD_LETTERS)
KEYS = Keys(GENERATION)


@contextmanager
def projector_world(stack: RunningStack, folder: Path, redis: Servers) -> Iterator[World]:
    """Give an empty world, and end it."""
    world = World(stack, folder, redis)
    try:
        yield world
    finally:
        world.close()


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
        self._roles: dict[int, Callable[[], str]] = {}
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

    def members(self) -> int:
        """Return how many are in the group, those included whose session has not ended yet."""
        (found,) = self._admin.describe_consumer_groups([self.topic]).values()
        # Its type says otherwise, of one group as of all.
        group = cast("ConsumerGroupDescription", found.result())
        return len(group.members)

    def write(self, records: Sequence[Transaction | bytes]) -> None:
        """Append records to the journal."""
        for record in records:
            value = record if isinstance(record, bytes) else record.SerializeToString()
            self._producer.produce(self.topic, value)
        assert self._producer.flush(PATIENCE) == 0

    def role(self, projector: subprocess.Popen[bytes]) -> str:
        """Return "active" or "standby", as a projector's health says, "" where it does not answer."""
        return self._roles[projector.pid]()

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
        self._roles[process.pid] = grpc_role(address)
        return process, grpc_health(address)

    def logged(self, text: str) -> bool:
        """Tell whether the last projector has logged the text."""
        return text in self.logs[-1].read_text()

    def level(self, sku: str, location_id: str) -> StockLevel | None:
        """Return a level of the view."""
        with self.redis.client() as client:
            value = client.hget(KEYS.levels(sku), location_id)
        return None if value is None else unpack_level(sku, location_id, bytes(value))

    def levels(self) -> dict[str, StockLevel | None]:
        """Return the levels of SKUS at WH-1."""
        return {sku: self.level(sku, "WH-1") for sku in SKUS}

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
        # Whatever the answers are: one that came when this is garbage would have the client ended by its own
        # thread, for which librdkafka aborts.
        wait(self._admin.delete_topics([self.topic, self.dead_letters], request_timeout=10).values())


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
