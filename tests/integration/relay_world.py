"""A journal and topics of events of a test's own, the relays between them, and a reader of the events."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cdc.consumer import Record
from cdc.dead_letter import DeadLetter
from cdc.dead_letter_topic import DeadLetterTopic
from cdc.topics import DEAD_LETTERS, TOPICS
from inventory.journal.v1.transaction_pb2 import Transaction
from stack.readiness import grpc_health, grpc_role
from tests.ports import free_port
from tests.stack_fixture import RunningStack

PATIENCE = 60.0
PARTITIONS = 12
DEAD_LETTER_SETTINGS = next(topic.settings for topic in TOPICS if topic.name == DEAD_LETTERS)
NAMES = ("stock", "reservation", "order", "transfer")


class Told(NamedTuple):
    """A record of a topic of events, as its readers see it."""

    topic: str
    partition: int
    key: str
    event_id: str
    event_type: str
    value: bytes


class RelayWorld:
    """Everything a relay touches, under names of its own."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self.name = f"relay-{uuid4().hex[:8]}"
        self.journal = f"{self.name}.journal"
        self.dead_letters = f"{self.name}.dead-letters"
        self.brokers = stack.bootstrap_servers
        self.registry_url = f"{stack.registry_url}/apis/ccompat/v7"
        self.logs: list[Path] = []
        self._folder = folder
        self._admin = AdminClient({"bootstrap.servers": self.brokers})
        # In order, whatever has to be sent again.
        self._producer = Producer(
            {
                "bootstrap.servers": self.brokers,
                "enable.idempotence": True,
                "message.max.bytes": 2_000_000,
            }
        )
        self._processes: list[subprocess.Popen[bytes]] = []
        self._roles: dict[int, Callable[[], str]] = {}
        topics = [NewTopic(self.journal, 1, 1, config={"max.message.bytes": "2000000"})]
        topics += [NewTopic(self.topic(name), PARTITIONS, 1) for name in NAMES]
        topics.append(NewTopic(self.dead_letters, 1, 1, config=DEAD_LETTER_SETTINGS))
        for created in self._admin.create_topics(topics).values():
            created.result()

    def topic(self, name: str) -> str:
        """Return a topic of events."""
        return f"{self.name}.{name}.events"

    def write(self, records: Sequence[Transaction | bytes | None]) -> None:
        """Append records to the journal."""
        for record in records:
            value = record.SerializeToString() if isinstance(record, Transaction) else record
            self._producer.produce(self.journal, value, b"key", headers=[("id", b"header")])
        assert self._producer.flush(PATIENCE) == 0

    def letters(self) -> list[DeadLetter]:
        """Return the dead letters there are."""
        topic = DeadLetterTopic(self.brokers, self.dead_letters)
        found = topic.letters()
        topic.close()
        return found

    def letter(self, letter: DeadLetter) -> Record:
        """Return the record of a dead letter."""
        topic = DeadLetterTopic(self.brokers, self.dead_letters)
        found = topic.record(letter)
        topic.close()
        return found

    def resolve(self, letter: DeadLetter) -> None:
        """Take a dead letter away."""
        self._producer.produce(self.dead_letters, None, letter.letter_id)
        assert self._producer.flush(PATIENCE) == 0

    def start(self, **settings: str) -> tuple[subprocess.Popen[bytes], Callable[[], str | None]]:
        """Start a relay; return it with the check of its health."""
        address = f"127.0.0.1:{free_port()}"
        environment = os.environ | {
            "INVENTORY_CDC_BOOTSTRAP_SERVERS": self.brokers,
            "INVENTORY_CDC_REGISTRY_URL": self.registry_url,
            "INVENTORY_CDC_LISTEN": address,
            "INVENTORY_CDC_TOPIC": self.journal,
            "INVENTORY_CDC_GROUP_ID": self.name,
            "INVENTORY_CDC_TRANSACTIONAL_ID": self.name,
            "INVENTORY_CDC_TOPICS_PREFIX": self.name,
            "INVENTORY_CDC_DEAD_LETTERS_TOPIC": self.dead_letters,
            "INVENTORY_CDC_LOG_LEVEL": "debug",
            **settings,
        }
        self.logs.append(self._folder / f"relay-{len(self.logs)}.log")
        with self.logs[-1].open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cdc", "relay"], env=environment, stdout=log, stderr=log
            )
        self._processes.append(process)
        self._roles[process.pid] = grpc_role(address)
        return process, grpc_health(address)

    def role(self, relay: subprocess.Popen[bytes]) -> str:
        """Return "active" or "standby", as a relay's health says, "" where it does not answer."""
        return self._roles[relay.pid]()

    def logged(self, text: str) -> bool:
        """Tell whether the last relay has logged the text."""
        return text in self.logs[-1].read_text()

    def committed(self) -> int:
        """Return the position that the group has committed, as soon as the broker can tell."""
        place = TopicPartition(self.journal, 0)
        deadline = time.monotonic() + PATIENCE
        while True:
            # A new one each time, which joins nothing: one may not find a coordinator again that was away.
            consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": self.name})
            try:
                return int(consumer.committed([place], timeout=5)[0].offset)
            except KafkaException:
                # It is only starting, or was away.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            finally:
                consumer.close()

    def relayed(self, number: int) -> None:
        """Wait until the position is committed."""
        until(lambda: self.committed() >= number)

    def told(self, name: str = "stock", isolation: str = "read_committed") -> list[Told]:
        """Return all that a reader of a topic sees now, the records of each partition in order."""
        return read(self.brokers, self.topic(name), PARTITIONS, isolation)

    def has_open_transaction(self) -> bool:
        """Tell whether a topic of stock events holds records that nobody with read_committed sees yet."""
        ends = []
        for isolation in ("read_uncommitted", "read_committed"):
            consumer = Consumer(
                {"bootstrap.servers": self.brokers, "group.id": "test", "isolation.level": isolation}
            )
            places = [TopicPartition(self.topic("stock"), number) for number in range(PARTITIONS)]
            try:
                extents = [consumer.get_watermark_offsets(place, PATIENCE) for place in places]
            except KafkaException:
                # Made so lately that its partitions are not ready: there is nothing in them.
                return False
            finally:
                consumer.close()
            ends.append(sum(extent[1] for extent in extents if extent))
        return ends[0] > ends[1]

    def close(self) -> None:
        """End every relay and delete the topics."""
        for process in self._processes:
            process.kill()
            process.wait()
        topics = [self.journal, self.dead_letters, *(self.topic(name) for name in NAMES)]
        # Whatever the answers are: one that came when this is garbage would have the client ended by its own
        # thread, for which librdkafka aborts.
        wait(self._admin.delete_topics(topics, request_timeout=10).values())


def read(brokers: str, topic: str, partitions: int, isolation: str = "read_committed") -> list[Told]:
    """Return the records of a topic from its beginning to its present end."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "test",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: list[Told] = []
    ends = 0
    while ends < partitions:
        message = consumer.poll(PATIENCE)
        assert message is not None
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - the client's name for it
            ends += 1
            continue
        headers = {name: str(value, "utf-8") for name, value in message.headers() or ()}
        partition, key, value = message.partition(), message.key(), message.value()
        assert partition is not None
        assert isinstance(key, bytes)
        assert value is not None
        told = Told(topic, partition, key.decode(), headers["event_id"], headers["event_type"], value)
        found.append(told)
    consumer.close()
    return found


def until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it has not come true"
        time.sleep(0.02)
