"""The consistency token: names one committed transaction. Opaque to callers, versioned for us."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

__all__ = ["CommittedTransaction", "InvalidTokenError", "decode", "encode"]

VERSION = 1
# Version, transaction id, microseconds since 1970.
_LAYOUT = struct.Struct(">B16sq")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class InvalidTokenError(ValueError):
    """The text is not a token that `encode` has made."""


class CommittedTransaction(NamedTuple):
    """What a token names: a transaction and when it was recorded (UTC)."""

    transaction_id: UUID
    record_time: datetime


def encode(transaction_id: UUID, record_time: datetime) -> str:
    """Return the token: 34 characters of base64url. `record_time` must carry its time zone (ValueError)."""
    if record_time.tzinfo is None:
        raise ValueError("record_time must carry its time zone")
    packed = _LAYOUT.pack(VERSION, transaction_id.bytes, (record_time - _EPOCH) // _MICROSECOND)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode(token: str) -> CommittedTransaction:
    """Return what `token` names; InvalidTokenError unless it is exactly what `encode` returns."""
    try:
        packed = base64.b64decode(token.encode("ascii") + b"==", altchars=b"-_", validate=True)
        version, id_bytes, microseconds = _LAYOUT.unpack(packed)
        transaction = CommittedTransaction(UUID(bytes=id_bytes), _EPOCH + microseconds * _MICROSECOND)
    except (UnicodeEncodeError, binascii.Error, struct.error, OverflowError) as error:
        raise InvalidTokenError("not a consistency token") from error
    # Base64 has several spellings of the same bytes; only ours is taken.
    if version != VERSION or encode(*transaction) != token:
        raise InvalidTokenError("not a consistency token of a known version")
    return transaction
