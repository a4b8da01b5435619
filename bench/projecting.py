"""One projector process on a journal of its own, into a Valkey of its own: how fast, and what it keeps.

The journal is made up, so that neither the command side nor Connect limits it; the process, the broker and
the records' contents are the real ones.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from uuid import UUID

import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from google.protobuf.timestamp_pb2 import Timestamp

from bench import cpu
from bench.calls import PLACE
from bench.servers import Server, projector
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.stock_pb2 import (
    MOVEMENT_KIND_ADD,
    MOVEMENT_REASON_RECEIPT,
    StockQuantities,
)
from query_svc.read_model.keys import BUCKETS, GENERATION, Keys
from tests.redis_server import binaries, redis_server
from tests.stack_fixture import RunningStack

BEGINNING = 1_790_000_000
SKUS = 1000
POLL = 0.02
PATIENCE = 300.0


@dataclass(frozen=True)
class Journal:
    """A journal of `levels` first changes, each of another level, so many in each record."""

    levels: int
    in_record: int

    @property
    def topic(self) -> str:
        """The topic it lies in."""
        return f"bench.journal.{self.in_record}"

    @property
    def skus(self) -> Sequence[str]:
        """Some of the items whose levels it changes."""
        return [_sku(number) for number in range(0, self.levels, max(1, self.levels // SKUS))]

    @property
    def records(self) -> int:
        """How many records it has."""
        return -(-self.levels // self.in_record)


@dataclass(frozen=True)
class Projected:
    """What came of a journal: changes applied a second, µs of CPU for each by part, and the share of others.

    redis_bytes: what each level has added to the memory of Valkey, the feed apart, which is bounded and does
    not grow with them: `feed_bytes`.
    """

    journal: Journal
    rate: float
    cpu: dict[str, float]
    others: float
    redis_bytes: float
    feed_bytes: int


@contextmanager
def projected(stack: RunningStack, journal: Journal) -> Iterator[tuple[Projected, Server, str]]:
    """Apply a journal; yield what came of it, the projector, which runs on, and the URL of the view."""
    _write(stack.bootstrap_servers, journal)
    options = {"appendonly": "yes", "appendfsync": "everysec"}
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server(binaries()["valkey"], Path(folder), options) as server,
        server.client() as client,
    ):
        empty = _memory(client)
        log = stack.home.log(f"bench-projector-{journal.in_record}")
        with projector(
            log,
            bootstrap_servers=stack.bootstrap_servers,
            redis_url=server.url,
            database_url=stack.postgres_url("query"),
            topic=journal.topic,
            group_id=journal.topic,
        ) as running:
            changes, seconds, used = _follow(client, journal, running.pid)
            each = {part: spent / changes for part, spent in used.parts.items()}
            feed = _feed(client)
            held = (_memory(client) - empty - feed) / journal.levels
            came = Projected(journal, changes / seconds, each, used.others, held, feed)
            yield came, running, server.url


def _follow(client: redis.Redis, journal: Journal, pid: int) -> tuple[int, float, cpu.Usage]:
    """Return how many changes came between the first that showed and the last, in how long, at what cost."""
    parts = {"projector": [pid], "valkey": [client.info("server")["process_id"]]}
    deadline = time.monotonic() + PATIENCE
    first = 0
    while not first:
        first, begin, before = _position(client), time.monotonic(), cpu.usage(parts)
        time.sleep(POLL)
    while _position(client) < journal.records:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{_position(client)} of {journal.records} records after {PATIENCE:.0f} s")
        time.sleep(POLL)
    changes = (journal.records - first) * journal.in_record
    return changes, time.monotonic() - begin, cpu.usage(parts).since(before)


def _position(client: redis.Redis) -> int:
    """Return the offset up to which the view holds the journal, 0 if there is none."""
    held = cast("dict[bytes, bytes]", client.hgetall(Keys(GENERATION).mark_positions))
    return max((int(offset) for name, offset in held.items() if name.endswith(b"-0")), default=0)


def _feed(client: redis.Redis) -> int:
    """Return the bytes that the feeds of all buckets take."""
    keys = (Keys(GENERATION).feed(bucket) for bucket in range(BUCKETS))
    return sum(int(client.memory_usage(key, samples=0) or 0) for key in keys)


def _memory(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _write(bootstrap_servers: str, journal: Journal) -> None:
    connection = {"bootstrap.servers": bootstrap_servers}
    admin = AdminClient(connection)
    admin.create_topics([NewTopic(journal.topic, 1, 1)])[journal.topic].result()
    producer = Producer({**connection, "linger.ms": 20, "compression.type": "lz4"})
    for number in range(journal.records):
        value = _record(journal, number).SerializeToString()
        while True:
            try:
                producer.produce(journal.topic, value)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()


def _record(journal: Journal, number: int) -> Transaction:
    """Return a record as the command service writes it for as many AddStock."""
    now = Timestamp(seconds=BEGINNING + number // 1000, nanos=number % 1000 * 1_000_000)
    transaction_id = str(UUID(int=number + 1))
    transaction = Transaction(transaction_id=transaction_id, record_time=now, part=1, part_count=1)
    begin = number * journal.in_record
    for one in range(begin, min(begin + journal.in_record, journal.levels)):
        sku, quantity = _sku(one), 10 + one % 500
        transaction.levels.add(
            sku=sku,
            location_id=PLACE,
            on_hand=quantity,
            available=quantity,
            sellable=quantity,
            version=1,
            update_time=now,
        )
        transaction.movements.add(
            sku=sku,
            location_id=PLACE,
            version=1,
            kind=MOVEMENT_KIND_ADD,
            reason=MOVEMENT_REASON_RECEIPT,
            delta=StockQuantities(on_hand=quantity),
            result=StockQuantities(on_hand=quantity),
            actor="bench",
            reference="bench",
            request_id=f"bench.{one}",
            transaction_id=transaction_id,
            occur_time=now,
            record_time=now,
        )
    return transaction


def _sku(number: int) -> str:
    return f"BENCH-{number:07}"
