"""A dead letter: a record that a reader of the journal could not take, as it stands in its topic. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from cdc.consumer import Record
from cdc.faults import Fault

ERROR_CHARACTERS = 1000
# What the names of a record's own headers begin with in its dead letter.
ORIGINAL = "original."
ORIGINAL_KEY = "original_key"
NO_VALUE = "no_value"
REPLAY_FOR = "replay_for"
RETRY_COUNT = "retry_count"

_OWN = {
    "reader",
    "kind",
    "error",
    "original_topic",
    "original_partition",
    "original_offset",
    RETRY_COUNT,
    "failed_at",
}

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What is known of a dead letter without its value.

    `letter_id` is its key, `place` its own offset in the topic of dead letters.
    """

    letter_id: str
    reader: str
    kind: str
    error: str
    topic: str
    partition: int
    offset: int
    retry_count: int
    failed_at: datetime
    place: int = -1


class Origin(NamedTuple):
    """Where a reader has a record from: its topic, and the source in which offsets count."""

    reader: str
    topic: str
    source: str


def letter_of(origin: Origin, record: Record, fault: Fault, *, tries: int = 0) -> DeadLetter:
    """Return the dead letter of a record of the journal, whose reader has tried it again `tries` times.

    The same record and reader make the same id, so that one written twice is one.
    """
    return DeadLetter(
        letter_id=f"{origin.reader}/{origin.source}/{record.offset}",
        reader=origin.reader,
        kind=fault.kind,
        error=str(fault)[:ERROR_CHARACTERS],
        topic=origin.topic,
        partition=0,
        offset=record.offset,
        retry_count=retries_of(record.headers) + tries,
        failed_at=datetime.now(UTC),
    )


def headers_of(letter: DeadLetter, record: Record) -> Headers:
    """Return the headers it is written with: its own, then those of the record and its key."""
    own = {
        "reader": letter.reader,
        "kind": letter.kind,
        "error": letter.error,
        "original_topic": letter.topic,
        "original_partition": str(letter.partition),
        "original_offset": str(letter.offset),
        RETRY_COUNT: str(letter.retry_count),
        "failed_at": letter.failed_at.isoformat(),
    }
    headers = [(name, value.encode()) for name, value in own.items()]
    headers.append((ORIGINAL_KEY, record.key))
    if record.value is None:
        # Without a value the letter itself would be a tombstone.
        headers.append((NO_VALUE, b"1"))
    return headers + [(ORIGINAL + name, value) for name, value in record.headers]


def parse(letter_id: str, headers: Iterable[tuple[str, bytes]], place: int) -> DeadLetter:
    """Return the dead letter that was written with the headers; ValueError or KeyError if none was."""
    found = {name: value.decode() for name, value in headers if name in _OWN}
    return DeadLetter(
        letter_id=letter_id,
        reader=found["reader"],
        kind=found["kind"],
        error=found["error"],
        topic=found["original_topic"],
        partition=int(found["original_partition"]),
        offset=int(found["original_offset"]),
        retry_count=int(found[RETRY_COUNT]),
        failed_at=datetime.fromisoformat(found["failed_at"]),
        place=place,
    )


def original(value: bytes | None, headers: Sequence[tuple[str, bytes]], offset: int) -> Record:
    """Return the record that could not be taken, from the value and the headers of its dead letter."""
    key = next((content for name, content in headers if name == ORIGINAL_KEY), b"")
    missing = any(name == NO_VALUE for name, _ in headers)
    carried = [
        (name.removeprefix(ORIGINAL), content) for name, content in headers if name.startswith(ORIGINAL)
    ]
    return Record(offset, None if missing else value, key, carried)


def replay_headers(letter: DeadLetter, record: Record) -> Headers:
    """Return the headers to write the record with once more, for the reader that could not take it alone."""
    carried = [(name, value) for name, value in record.headers if name not in {REPLAY_FOR, RETRY_COUNT}]
    tries = str(letter.retry_count + 1)
    return [*carried, (REPLAY_FOR, letter.reader.encode()), (RETRY_COUNT, tries.encode())]


def replayed_for(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """Return the only reader that a record is for; None when it is for all."""
    return next((value.decode(errors="replace") for name, value in headers if name == REPLAY_FOR), None)


def retries_of(headers: Iterable[tuple[str, bytes]]) -> int:
    """Return how often a record has been tried again before it was written; 0 where nothing says so."""
    text = next((value for name, value in headers if name == RETRY_COUNT), b"0")
    return int(text) if text.isdigit() else 0
