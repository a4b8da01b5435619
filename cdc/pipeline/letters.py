"""Dead letters: listed, shown, written once more, given up."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from cdc.consumer import Record
from cdc.dead_letter import DeadLetter, replay_headers
from cdc.dead_letter_topic import DeadLetterTopic
from cdc.faults import Fault
from cdc.projector import decode
from cdc.publisher import Outgoing, Publisher
from inventory.admin.v1 import pipeline_service_pb2 as pb

PAGE_BYTES = 3 * 1024 * 1024
SHOWN_BYTES = 64 * 1024

log = structlog.get_logger()


class Page(NamedTuple):
    """Some dead letters, and the place after which the next begin, None when there are no more."""

    letters: list[pb.DeadLetter]
    next_place: int | None


class Letters:
    """The dead letters of all readers. Every method blocks, and all are called from one thread at a time.

    `open_publisher` opens a publisher that fences off all before it, so that what has been read after that
    is as it says until something is published. Besides what the methods name, all raise
    DeadLettersUnavailableError and PublishError.
    """

    def __init__(self, topic: DeadLetterTopic, open_publisher: Callable[[], Publisher]) -> None:
        self._topic = topic
        self._open_publisher = open_publisher

    def counts(self) -> dict[str, int]:
        """Return how many each reader has."""
        counts: dict[str, int] = {}
        for letter in self._topic.letters():
            counts[letter.reader] = counts.get(letter.reader, 0) + 1
        return counts

    def page(self, reader: str, after: int, size: int) -> Page:
        """Return up to `size` letters of a reader, of all when empty, that stand after a place."""
        found = [
            letter
            for letter in self._topic.letters()
            if letter.place > after and reader in {"", letter.reader}
        ]
        shown: list[pb.DeadLetter] = []
        free = PAGE_BYTES
        for number, letter in enumerate(found):
            if number == size:
                return Page(shown, found[number - 1].place)
            message = _shown(letter, self._topic.record(letter))
            free -= message.ByteSize()
            if free < 0 and shown:
                return Page(shown, found[number - 1].place)
            shown.append(message)
        return Page(shown, None)

    def replay(self, letter_ids: Sequence[str], actor: str) -> None:
        """Write the records once more, in one transaction. Raise KeyError with an id that is not there."""
        publisher = self._open_publisher()
        outgoing: list[Outgoing] = []
        for letter in self._named(letter_ids):
            record = self._topic.record(letter)
            headers = replay_headers(letter, record)
            outgoing.append(Outgoing(letter.topic, record.key, record.value, headers))
            outgoing.append(self._resolved(letter, "replayed", actor))
        publisher.publish(outgoing, None)
        log.warning("dead letters replayed", letter_ids=list(letter_ids), actor=actor)

    def discard(self, letter_ids: Sequence[str], actor: str, reason: str) -> None:
        """Give letters up, in one transaction. Raise KeyError with an id that is not there."""
        publisher = self._open_publisher()
        letters = self._named(letter_ids)
        publisher.publish([self._resolved(letter, "discarded", actor, reason) for letter in letters], None)
        log.warning("dead letters discarded", letter_ids=list(letter_ids), actor=actor, reason=reason)

    def _named(self, letter_ids: Sequence[str]) -> list[DeadLetter]:
        there = {letter.letter_id: letter for letter in self._topic.letters()}
        return [there[letter_id] for letter_id in letter_ids]

    def _resolved(self, letter: DeadLetter, fate: str, actor: str, reason: str = "") -> Outgoing:
        """Return the tombstone of a letter, with what became of it."""
        told = {
            "fate": fate,
            "actor": actor,
            "reason": reason,
            "resolved_at": datetime.now(UTC).isoformat(),
        }
        headers = [(name, value.encode()) for name, value in told.items()]
        return Outgoing(self._topic.name, letter.letter_id.encode(), None, headers)


def _shown(letter: DeadLetter, record: Record) -> pb.DeadLetter:
    message = pb.DeadLetter(
        dead_letter_id=letter.letter_id,
        reader=letter.reader,
        kind=pb.DeadLetterKind.Value(f"DEAD_LETTER_KIND_{letter.kind}"),
        error=letter.error,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        retry_count=letter.retry_count,
        value_bytes=len(record.value or b""),
    )
    message.fail_time.FromDatetime(letter.failed_at)
    try:
        message.transaction.CopyFrom(decode(record.value))
    except Fault:
        message.undecodable = (record.value or b"")[:SHOWN_BYTES]
    return message
