"""Reading the journal topic, as one member of a group of which one at a time reads.

The position is the caller's to keep: beside what it makes of the records, or in the group as part of a
transaction that writes to other topics.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple, cast

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

TIMEOUT_SECONDS = 10.0
GATHERED_BYTES = 1024 * 1024
# How long the broker keeps a reader waiting for a record that does not come, before it asks again.
LONGEST_WAIT_MS = 500

log = structlog.get_logger()


class Record(NamedTuple):
    """One record of the journal; `offset` is its own, not the next one's."""

    offset: int
    value: bytes | None
    key: bytes = b""
    headers: Sequence[tuple[str, bytes]] = ()


class Commitment(NamedTuple):
    """A position, and the membership in whose name it is committed: only the group's present reader may."""

    offsets: list[TopicPartition]
    group: object


class Position(NamedTuple):
    """A committed position: the next record to read, and the source it counts in."""

    offset: int
    source: str


class Extent(NamedTuple):
    """What a topic holds: the offset of its first record, and of the next one to be written."""

    first: int
    end: int


class OffsetOutOfRangeError(Exception):
    """The topic has no record at the position, because it was trimmed or made anew."""


class JournalUnavailableError(Exception):
    """The broker does not answer, or not in time."""


class JournalConsumer:
    """A consumer of a topic with one partition, which reads when it is told where.

    When the group has given it the partition, `assigned` is true and nothing is read until `read_from`.
    All methods block, and all must be called from one thread at a time. `poll` must be called again
    within five minutes, or the group gives the partition to another member.
    """

    def __init__(
        self, bootstrap_servers: str, group_id: str, topic: str, *, gather_seconds: float = 0.0
    ) -> None:
        """Take where to read; records come at once, or gathered for `gather_seconds`, or to a megabyte."""
        connection = {"bootstrap.servers": bootstrap_servers, "logger": logging.getLogger("librdkafka")}
        self._topic = topic
        self._admin = AdminClient(connection)
        self._consumer = Consumer(
            {
                **connection,
                "group.id": group_id,
                # A killed member's partition is free after this long: the least that brokers allow.
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 1500,
                # Where to read is never left to chance: a position that is not there is an error.
                "auto.offset.reset": "error",
                "enable.auto.offset.store": False,
                "auto.commit.interval.ms": 1000,
                "fetch.min.bytes": GATHERED_BYTES if gather_seconds else 1,
                "fetch.wait.max.ms": int(gather_seconds * 1000) or LONGEST_WAIT_MS,
                "fetch.queue.backoff.ms": 5,
                "fetch.error.backoff.ms": 100,
                "reconnect.backoff.max.ms": 1000,
                # What is read ahead, and so the most that one poll returns.
                "queued.max.messages.kbytes": 8192,
                "error_cb": _on_error,
            }
        )
        self._partition: int | None = None
        self._failure: Exception | None = None
        self.reading = False
        self._has_joined = False
        self._is_member = False
        self._consumer.subscribe(
            [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    @property
    def name(self) -> str:
        """The topic and the partition, for people."""
        return f"{self._topic}, partition {self._partition}"

    @property
    def assigned(self) -> bool:
        """Whether the group has given this member the partition."""
        return self._partition is not None

    @property
    def standing_by(self) -> bool:
        """Whether another member of the group has the partition, as of the last `poll`."""
        return self._is_member and not self.assigned

    def source(self) -> str:
        """Return the name of what is assigned: the topic with its id, and the partition.

        Offsets mean something only within it: a topic that is made anew has another id. Raise
        JournalUnavailableError when the broker does not tell.
        """
        described = self._admin.describe_topics(
            TopicCollection([self._topic]), request_timeout=TIMEOUT_SECONDS
        )
        try:
            topic = described[self._topic].result()
        except KafkaException as error:
            raise JournalUnavailableError(str(error)) from error
        if len(topic.partitions) != 1:
            raise ValueError(
                f"{self._topic} must have one partition, to be in order: {len(topic.partitions)}"
            )
        return f"{self._topic}:{topic.topic_id}-{self._partition}"

    def read_from(self, offset: int | None) -> None:
        """Read from an offset on, or from the earliest there is. Only while `assigned`."""
        start = OFFSET_BEGINNING if offset is None else offset
        self._consumer.assign([self._at(start)])
        self._failure = None
        self.reading = True

    def hold(self) -> None:
        """Stop reading until `read_from`, and stay in the group."""
        if self.assigned:
            self._consumer.assign([])
        self._failure = None
        self.reading = False

    def poll(self, timeout: float, max_records: int) -> list[Record]:
        """Return the records that are there, in order; wait for the first up to `timeout` seconds.

        Raise OffsetOutOfRangeError when the topic has none at the position, until `hold`, and
        KafkaException when the client cannot go on. While the broker is away it returns none.
        """
        if self._failure is not None:
            raise self._failure
        first = self._consumer.poll(timeout)
        self._note_membership()
        if first is None:
            return []
        records: list[Record] = []
        for message in (first, *self._consumer.consume(max_records - 1, 0)):
            error = message.error()
            if error is None:
                records.append(_record(message))
            else:
                self._failure = _failure(error) or self._failure
        if self._failure is not None and not records:
            raise self._failure
        # Unless the group has taken the partition back in between: what was read is then another's.
        return records if self.reading else []

    def mark_applied(self, offset: int) -> None:
        """Say that all before `offset` has been applied: the group's offset follows within a second."""
        try:
            self._consumer.store_offsets(offsets=[self._at(offset)])
        except KafkaException as error:
            # The group has just taken the partition back; who gets it reads from its own position.
            log.warning("offset not stored", offset=offset, cause=str(error))

    def committed(self) -> Position | None:
        """Return the position that `commitment` was made of last. Raise JournalUnavailableError."""
        try:
            (found,) = self._consumer.committed([self._at(OFFSET_BEGINNING)], TIMEOUT_SECONDS)
        except KafkaException as error:
            raise JournalUnavailableError(str(error)) from error
        return Position(found.offset, found.metadata or "") if found.offset >= 0 else None

    def extent(self) -> Extent:
        """Return what the topic holds. Raise JournalUnavailableError."""
        try:
            found = self._consumer.get_watermark_offsets(self._at(OFFSET_BEGINNING), TIMEOUT_SECONDS)
        except KafkaException as error:
            raise JournalUnavailableError(str(error)) from error
        return Extent(*found)

    def commitment(self, position: Position) -> Commitment:
        """Return a position to be committed as part of a transaction. Only while `assigned`."""
        at = self._at(position.offset)
        offsets = [TopicPartition(at.topic, at.partition, at.offset, position.source)]
        return Commitment(offsets, self._consumer.consumer_group_metadata())

    def close(self) -> None:
        """Commit the group's offset and leave the group."""
        self.reading = False
        self._consumer.close()

    def _at(self, offset: int) -> TopicPartition:
        if self._partition is None:
            raise RuntimeError("no partition is assigned")
        return TopicPartition(self._topic, self._partition, offset)

    def _note_membership(self) -> None:
        # A member whose session has run out, for the broker is away, has no id until it has joined again.
        self._is_member = self._has_joined and (self.assigned or bool(self._consumer.memberid()))

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._partition = partitions[0].partition if partitions else None
        self._has_joined = True
        log.info("assigned", topic=self._topic, partitions=[one.partition for one in partitions])
        # Nothing yet: it is read from where `read_from` says.
        consumer.assign([])
        self.reading = False

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._partition = None
        self._has_joined = False
        self.reading = False
        log.info("revoked", topic=self._topic, partitions=[one.partition for one in partitions])
        consumer.unassign()


def _record(message: Message) -> Record:
    headers = [(name, _bytes(value)) for name, value in message.headers() or ()]
    return Record(cast("int", message.offset()), message.value(), _bytes(message.key()), headers)


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _failure(error: KafkaError) -> Exception | None:
    """Return what to raise for an error among the records; None for trouble that passes by itself."""
    if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - the client's name for it
        return OffsetOutOfRangeError(error.str())
    if error.fatal():
        return KafkaException(error)
    _on_error(error)
    return None


def _on_error(error: KafkaError) -> None:
    log.warning("the broker has trouble", cause=error.str())
