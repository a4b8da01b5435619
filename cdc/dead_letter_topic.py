"""The topic of dead letters: one partition, compacted, keyed by the id of the letter.

So it holds what nobody has dealt with yet, for as long as that takes: a letter that is replayed or discarded
gets a tombstone. Read anew, from where one stood, whenever somebody wants to know.
"""

import logging
from collections.abc import Iterator
from typing import cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cdc import dead_letter
from cdc.consumer import Record
from cdc.dead_letter import DeadLetter

READ_SECONDS = 15.0

log = structlog.get_logger()


class DeadLettersUnavailableError(Exception):
    """The broker does not tell what there is, or not in time."""


class DeadLettersFullError(Exception):
    """There are as many dead letters of a reader as there may be: it halts until somebody deals with them."""


class DeadLetterTopic:
    """What stands in the topic. Every method blocks, and all are called from one thread at a time."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self.name = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "logger": logging.getLogger("librdkafka"),
                # Nothing is committed: the name is there because the client wants one.
                "group.id": "inventory.dead-letters",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "reconnect.backoff.max.ms": 1000,
            }
        )
        self._letters: dict[str, DeadLetter] = {}
        self._seen: set[str] = set()
        self._next = 0

    def letters(self) -> list[DeadLetter]:
        """Return all dead letters there are now, the oldest first. Raise DeadLettersUnavailableError."""
        for message in self._read(self._next):
            letter_id, offset = _text(message.key()), cast("int", message.offset())
            self._letters.pop(letter_id, None)
            self._seen.add(letter_id)
            if message.value() is not None:
                self._take(letter_id, message, offset)
            self._next = offset + 1
        return list(self._letters.values())

    def has_seen(self, letter_id: str) -> bool:
        """Tell whether the letter is there, or has been dealt with: tombstones outlive what they are for."""
        return letter_id in self._seen

    def record(self, letter: DeadLetter) -> Record:
        """Return the record that could not be taken. Raise KeyError when its letter is not there any more."""
        for message in self._read(letter.place):
            if message.offset() != letter.place:
                break
            return dead_letter.original(message.value(), _headers(message), letter.offset)
        raise KeyError(letter.letter_id)

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def _take(self, letter_id: str, message: Message, place: int) -> None:
        try:
            self._letters[letter_id] = dead_letter.parse(letter_id, _headers(message), place)
        except (KeyError, ValueError) as error:
            log.warning("a record is no dead letter", topic=self.name, offset=place, cause=repr(error))

    def _read(self, offset: int) -> Iterator[Message]:
        """Yield the records from an offset to the present end."""
        try:
            self._consumer.assign([TopicPartition(self.name, 0, offset)])
            while True:
                message = self._consumer.poll(READ_SECONDS)
                if message is None:
                    raise DeadLettersUnavailableError(f"nothing within {READ_SECONDS} s")
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's name for it
                    return
                elif not error.retriable():
                    raise DeadLettersUnavailableError(error.str())
        except KafkaException as error:
            raise DeadLettersUnavailableError(str(error)) from error
        finally:
            self._consumer.unassign()


def _headers(message: Message) -> dead_letter.Headers:
    return [(name, _bytes(value)) for name, value in message.headers() or ()]


def _text(key: str | bytes | None) -> str:
    return _bytes(key).decode(errors="replace")


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
