"""The cursor of a watch: how far it has been told, in each bucket's feed. Opaque to callers."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from inventory.type.v1 import error_reason_pb2
from query_svc.read_model import BUCKETS, Place
from serving.errors import CallError

VERSION = 1
EPOCH_BYTES = 8
_CHECK_BYTES = 4
_LARGEST = 2**53
_CONTINUED = 0x80


class Cursor(NamedTuple):
    """All up to `places`, one for each bucket, has been told, in the feed of an epoch."""

    epoch: bytes
    places: tuple[Place, ...]


def epoch_of(origin: str) -> bytes:
    """Name what places mean something in, shortly."""
    return hashlib.blake2b(origin.encode(), digest_size=EPOCH_BYTES).digest()


def encode(epoch: bytes, places: Sequence[Place]) -> str:
    """Return the cursor's text: some dozens of characters when all buckets were quiet, at most 1,536."""
    base = min(places)
    content = bytearray(_number(base[0]) + _number(base[1]))
    for bucket, (offset, number) in enumerate(places):
        if (offset, number) != base:
            content.append(bucket)
            content += _number(offset - base[0]) + _number(number)
    packed = bytes([VERSION]) + epoch + content
    return base64.urlsafe_b64encode(packed + _check(packed)).rstrip(b"=").decode()


def decode(text: str) -> Cursor:
    """Return what the text says. Raises CallError INVALID_CURSOR unless `encode` made it."""
    try:
        sealed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        packed = sealed[:-_CHECK_BYTES]
        cursor = Cursor(packed[1 : 1 + EPOCH_BYTES], _places(packed[1 + EPOCH_BYTES :]))
    except (UnicodeError, binascii.Error, IndexError, ValueError) as error:
        raise invalid(text) from error
    # Base64 and the numbers have several spellings of the same; only ours is taken.
    if packed[0] != VERSION or encode(*cursor) != text:
        raise invalid(text)
    return cursor


def invalid(text: str) -> CallError:
    """Return the error for a cursor that is none."""
    return CallError(
        error_reason_pb2.ERROR_REASON_INVALID_CURSOR,
        "cursor is not one that a watch has handed out",
        metadata={"cursor": text},
    )


def expired() -> CallError:
    """Return the error for a cursor after which changes are lost."""
    return CallError(
        error_reason_pb2.ERROR_REASON_CURSOR_EXPIRED,
        "changes after the cursor are no longer kept: list the levels again, or watch with include_current",
    )


def _check(packed: bytes) -> bytes:
    """Guard against mistakes; who makes a cursor up is told of other changes, no more."""
    return hashlib.blake2b(packed, digest_size=_CHECK_BYTES).digest()


def _number(value: int) -> bytes:
    """Return a number as protobuf writes it: seven bits a byte, the lowest first."""
    content = bytearray()
    while value >= _CONTINUED:
        content.append(value % _CONTINUED + _CONTINUED)
        value //= _CONTINUED
    content.append(value)
    return bytes(content)


def _places(content: bytes) -> tuple[Place, ...]:
    """Read the places. Raises IndexError or ValueError when there are not exactly such."""
    offset, at = _read(content, 0)
    number, at = _read(content, at)
    places = [(offset, number)] * BUCKETS
    while at < len(content):
        bucket = content[at]
        more, at = _read(content, at + 1)
        number, at = _read(content, at)
        places[bucket] = (offset + more, number)
    if max(places)[0] >= _LARGEST:
        raise ValueError("no such offset")
    return tuple(places)


def _read(content: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and the place after it."""
    value = shift = 0
    while True:
        value += content[at] % _CONTINUED << shift
        if content[at] < _CONTINUED:
            break
        at, shift = at + 1, shift + 7
    if value >= _LARGEST:
        raise ValueError("no such number")
    return value, at + 1
