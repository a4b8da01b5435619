"""The chain of a day of the audit log: how an entry is sealed, and whether seals and entries agree. Pure.

The seal of an entry is the SHA-256 of the seal before it and of the entry's bytes; before the first stands
`beginning`. What PostgreSQL seals in `seal_audit_entries` is proved here by other code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import NamedTuple
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Stored(NamedTuple):
    """An entry as its row says, in the order of the columns."""

    day: date
    transaction_number: int
    entry_id: int
    record_time: datetime
    method: str
    verdict: str
    actor: str
    proof: str
    source: str
    request_id: str
    trace_id: str
    skus: Sequence[str]
    location_ids: Sequence[str]
    transaction_id: UUID | None
    calls: int

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands among the entries of its day."""
        return self.transaction_number, self.entry_id


class Seal(NamedTuple):
    """A seal as its row says: the `position`th of its day, from 1, on the entry at a place."""

    position: int
    transaction_number: int
    entry_id: int
    seal: bytes

    @property
    def place(self) -> tuple[int, int]:
        """Where its entry stands."""
        return self.transaction_number, self.entry_id


class Flaw(Enum):
    """What is wrong with a chain."""

    ENTRY_CHANGED = "entry or seal is not what it was"
    ENTRY_MISSING = "entry is gone"
    ENTRY_UNSEALED = "entry has been put in"
    SEAL_MISSING = "seal is gone"


class Broken(NamedTuple):
    """The first flaw of a chain: what and where. `entry_id` is 0 where no entry can be named."""

    flaw: Flaw
    position: int
    entry_id: int


def beginning(day: date) -> Seal:
    """Return what stands before the first seal of a day."""
    return Seal(0, 0, 0, hashlib.sha256(f"inventory audit {day.isoformat()}".encode()).digest())


def entry_bytes(entry: Stored) -> bytes:
    """Return an entry as it is sealed; see `audit_entry_bytes` in the migration."""
    microseconds = (entry.record_time - _EPOCH) // _MICROSECOND
    return b"".join(
        (
            *map(_value, (entry.day.isoformat(), entry.transaction_number, entry.entry_id, microseconds)),
            *map(_value, entry[4:11]),
            _values(entry.skus),
            _values(entry.location_ids),
            _value(entry.transaction_id),
            _value(entry.calls),
        )
    )


def follow(last: Seal, seals: Sequence[Seal], entries: Sequence[Stored]) -> Seal | Broken:
    """Return the last of `seals`, all of which follow from the one before them and the entries, or a flaw.

    `entries` are all that stand after `last` and up to the last of `seals`, in order.
    """
    remaining = iter(entries)
    entry = next(remaining, None)
    for seal in seals:
        position = last.position + 1
        if seal.position != position:
            return Broken(Flaw.SEAL_MISSING, position, 0)
        if entry is not None and entry.place < seal.place:
            return Broken(Flaw.ENTRY_UNSEALED, position, entry.entry_id)
        if entry is None or entry.place != seal.place:
            return Broken(Flaw.ENTRY_MISSING, position, seal.entry_id)
        if hashlib.sha256(last.seal + entry_bytes(entry)).digest() != seal.seal:
            return Broken(Flaw.ENTRY_CHANGED, position, seal.entry_id)
        last, entry = seal, next(remaining, None)
    if entry is not None:
        return Broken(Flaw.ENTRY_UNSEALED, last.position + 1, entry.entry_id)
    return last


def _value(value: object) -> bytes:
    if value is None:
        return b"-"
    text = str(value).encode()
    return b"%d:%b" % (len(text), text)


def _values(values: Sequence[str]) -> bytes:
    return b"%d[" % len(values) + b"".join(map(_value, values))
