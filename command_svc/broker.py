"""The topics of the stock commands: all that the command service knows of the broker."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple, cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

PUBLISH_SECONDS = 10.0
SOCKET_SECONDS = 10.0
ASK_SECONDS = 0.8

log = structlog.get_logger()


class Record(NamedTuple):
    """One record of a topic. `timestamp` is in milliseconds, as the broker or the producer set it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]


class BrokerUnavailableError(Exception):
    """The broker does not answer, or not in time."""


class CommandTopic:
    """Reads a topic as a member of a group, and writes to another one.

    Every method blocks. `ask` may be called at any time, the others from one thread at a time. `poll` must
    be called again within five minutes, or the group gives the partitions to other members.
    """

    def __init__(self, bootstrap_servers: str, group_id: str, topic: str, failures_topic: str) -> None:
        connection = {
            "bootstrap.servers": bootstrap_servers,
            "logger": logging.getLogger("librdkafka"),
            "error_cb": _on_error,
            "reconnect.backoff.max.ms": 1000,
            # A commit waits no longer for a broker that says nothing.
            "socket.timeout.ms": int(SOCKET_SECONDS * 1000),
        }
        self._topic = topic
        self._failures_topic = failures_topic
        self._admin = AdminClient(connection)
        self._consumer = Consumer(
            {
                **connection,
                "group.id": group_id,
                # A killed member's partitions are free after this long: the least that brokers allow.
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 1500,
                # A command that nobody has read yet is to be carried out, however new the group is.
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 5,
                "fetch.error.backoff.ms": 100,
                "queued.max.messages.kbytes": 8192,
            }
        )
        self._producer = Producer(
            {
                **connection,
                "acks": "all",
                "enable.idempotence": True,
                "delivery.timeout.ms": int(PUBLISH_SECONDS * 1000),
                "compression.type": "lz4",
            }
        )
        self._consumer.subscribe([topic], on_assign=_on_assign, on_revoke=_on_revoke)

    def poll(self, timeout: float, most: int) -> list[Record]:
        """Return up to `most` records, those of a partition in order.

        Waits up to `timeout` seconds for the first. While the broker is away there are none.
        """
        first = self._consumer.poll(timeout)
        if first is None:
            return []
        records: list[Record] = []
        for message in (first, *(self._consumer.consume(most - 1, 0) if most > 1 else ())):
            error = message.error()
            if error is not None:
                _on_error(error)
                continue
            records.append(
                Record(
                    cast("str", message.topic()),
                    cast("int", message.partition()),
                    cast("int", message.offset()),
                    message.timestamp()[1],
                    _bytes(message.key()),
                    _bytes(message.value()),
                    {name: _bytes(value) for name, value in message.headers() or ()},
                )
            )
        return records

    def publish(self, failures: Sequence[tuple[bytes, bytes]]) -> None:
        """Write the keys and values to the other topic; return when all are on every replica in sync.

        Raises BrokerUnavailableError when that is not known of all of them: then write them again.
        """
        lost: list[str] = []

        def on_delivery(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                lost.append(error.str())

        for key, value in failures:
            while True:
                try:
                    self._producer.produce(self._failures_topic, value, key, on_delivery=on_delivery)
                    break
                except BufferError:
                    self._producer.poll(0.1)
        # A little longer than a delivery may take: by then each has been told to be there or to be lost.
        left = self._producer.flush(PUBLISH_SECONDS + 1)
        if left or lost:
            raise BrokerUnavailableError(lost[0] if lost else f"{left} failures not written in time")

    def mark_done(self, records: Sequence[Record]) -> None:
        """Say that the records, and all before them, are done with: the group begins after them.

        Raises BrokerUnavailableError when the broker does not answer. Where the group has given a
        partition to another member meanwhile, that one reads the records again.
        """
        ends = {(one.topic, one.partition): one.offset + 1 for one in records}
        offsets = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as failure:
            error = cast("KafkaError", failure.args[0])
            if error.code() not in _TAKEN_BACK:
                raise BrokerUnavailableError(error.str()) from failure
            log.warning("offsets not stored: the group has moved on", cause=error.str())

    def ask(self) -> None:
        """Return when the broker answers and has the topic; raises BrokerUnavailableError when not."""
        try:
            found = self._admin.list_topics(self._topic, timeout=ASK_SECONDS).topics[self._topic]
        except KafkaException as failure:
            raise BrokerUnavailableError(str(failure)) from failure
        if found.error is not None:
            raise BrokerUnavailableError(str(found.error))

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


_TAKEN_BACK = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001 - the client's name for it
    }
)


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _on_assign(_consumer: Consumer, partitions: list[TopicPartition]) -> None:
    log.info("assigned", partitions=[one.partition for one in partitions])


def _on_revoke(_consumer: Consumer, partitions: list[TopicPartition]) -> None:
    log.info("revoked", partitions=[one.partition for one in partitions])


def _on_error(error: KafkaError) -> None:
    log.warning("the broker has trouble", cause=error.str())
