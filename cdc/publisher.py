"""Writing records to topics and a reader's position to its group, in one transaction of the broker."""

import logging
from collections.abc import Sequence
from typing import NamedTuple, cast

from confluent_kafka import KafkaError, KafkaException, Producer

from cdc.consumer import Commitment

INIT_SECONDS = 20.0
COMMIT_SECONDS = 15.0
TRANSACTION_SECONDS = 30.0
MESSAGE_BYTES = 2 * 1024 * 1024


class Outgoing(NamedTuple):
    """A record to be written; without a value it is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


class PublishError(Exception):
    """It is not known whether a transaction was committed: open another publisher, and read the position."""


class FencedError(PublishError):
    """Another publisher of the same name has been opened, or the group has moved on. Nothing was written."""


class Publisher:
    """Writes transactions, one after the other; no longer usable after an error.

    Of the publishers with one `transactional_id`, the one opened last can write: opening it ends what the
    others had begun, and whatever they do afterwards fails. Raises PublishError when the broker does not
    answer. Every method blocks.
    """

    def __init__(self, bootstrap_servers: str, transactional_id: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "logger": logging.getLogger("librdkafka"),
                "transactional.id": transactional_id,
                "transaction.timeout.ms": int(TRANSACTION_SECONDS * 1000),
                "delivery.timeout.ms": int(COMMIT_SECONDS * 1000),
                "compression.type": "lz4",
                "message.max.bytes": MESSAGE_BYTES,
                "linger.ms": 1,
                "reconnect.backoff.max.ms": 1000,
                # Where other clients put a key: Java's.
                "partitioner": "murmur2_random",
            }
        )
        try:
            self._producer.init_transactions(INIT_SECONDS)
        except KafkaException as error:
            raise _translated(error) from error

    def publish(self, records: Sequence[Outgoing], position: Commitment | None) -> None:
        """Write the records, in order, and the position; return when all of it is committed.

        A reader with read_committed sees all of it or nothing. Raises PublishError and FencedError.
        """
        try:
            self._producer.begin_transaction()
            for record in records:
                self._produce(record)
            if position is not None:
                self._producer.send_offsets_to_transaction(position.offsets, position.group, COMMIT_SECONDS)
            self._producer.commit_transaction(COMMIT_SECONDS)
        except KafkaException as error:
            raise _translated(error) from error

    def _produce(self, record: Outgoing) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    headers=cast("list[tuple[str, str | bytes]]", record.headers),
                )
            except BufferError:
                # Full of what is on its way: make room.
                self._producer.poll(0.1)
            else:
                return


_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - the client's name for it
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
    }
)


def _translated(error: KafkaException) -> PublishError:
    cause = cast("KafkaError", error.args[0])
    kind = FencedError if cause.code() in _FENCED else PublishError
    return kind(cause.str())
