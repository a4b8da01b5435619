"""The consistency token: names one committed transaction. Opaque to callers, versioned for us."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

__all__ = ["CommittedTransaction", "InvalidTokenError", "decode", "encode", "installation_of"]

# Version, transaction id, microseconds since 1970; since version 2, the beginning of the installation's id.
_LAYOUTS = {1: struct.Struct(">B16sq"), 2: struct.Struct(">B16sq8s")}
INSTALLATION_BYTES = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class InvalidTokenError(ValueError):
    """The text is not a token that `encode` has made."""


class CommittedTransaction(NamedTuple):
    """What a token names: a transaction, when it was recorded (UTC), and where, as `installation_of` says.

    A token of version 1 does not say where: `installation` is empty.
    """

    transaction_id: UUID
    record_time: datetime
    installation: bytes = b""


def installation_of(installation_id: UUID) -> bytes:
    """Return what stands for an installation in its tokens."""
    return installation_id.bytes[:INSTALLATION_BYTES]


def encode(transaction_id: UUID, record_time: datetime, installation_id: UUID) -> str:
    """Return the token: 44 characters of base64url. `record_time` must carry its time zone (ValueError)."""
    if record_time.tzinfo is None:
        raise ValueError("record_time must carry its time zone")
    return _text(CommittedTransaction(transaction_id, record_time, installation_of(installation_id)))


def decode(token: str) -> CommittedTransaction:
    """Return what `token` names; InvalidTokenError unless it is exactly what `encode` returns, or did.

    Tokens of version 1 stand in answers that are kept for a week, and are made while an older version runs.
    """
    try:
        packed = base64.b64decode(token.encode("ascii") + b"==", altchars=b"-_", validate=True)
        _, id_bytes, microseconds, *installation = _LAYOUTS[packed[0]].unpack(packed)
        record_time = _EPOCH + microseconds * _MICROSECOND
        transaction = CommittedTransaction(UUID(bytes=id_bytes), record_time, *installation)
    except (UnicodeEncodeError, binascii.Error, struct.error, OverflowError, LookupError) as error:
        raise InvalidTokenError("not a consistency token of a known version") from error
    # Base64 has several spellings of the same bytes; only ours is taken.
    if _text(transaction) != token:
        raise InvalidTokenError("not a consistency token")
    return transaction


def _text(transaction: CommittedTransaction) -> str:
    """Return the token of the version that says as much as the transaction does."""
    microseconds = (transaction.record_time - _EPOCH) // _MICROSECOND
    version = 2 if transaction.installation else 1
    origin = [transaction.installation] if transaction.installation else []
    packed = _LAYOUTS[version].pack(version, transaction.transaction_id.bytes, microseconds, *origin)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()
