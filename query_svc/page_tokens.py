"""Page tokens: where the next page begins. Opaque to callers, versioned, and good for one question only."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence

from google.protobuf.message import Message

from inventory.type.v1 import error_reason_pb2
from serving.errors import CallError

VERSION = 1
SEAL_BYTES = 8
# So that a token of two such texts and a number stays within the 512 characters the contracts take.
MAX_TEXT_BYTES = 256

_NUMBER = struct.Struct(">q")
_LENGTH = struct.Struct(">H")


def encode(position: Sequence[str | int], question: Message) -> str:
    """Return the token of the page after `position`, for a request that asks what `question` asks.

    Numbers have 64 bits (struct.error), texts up to MAX_TEXT_BYTES in UTF-8 (ValueError).
    """
    content = b"".join(_NUMBER.pack(value) if isinstance(value, int) else _text(value) for value in position)
    packed = bytes([VERSION]) + _seal(content, question) + content
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode(token: str, question: Message, kinds: Sequence[type[str | int]]) -> list[str | int]:
    """Return the position in `token`, a value of each of `kinds`.

    Raises CallError INVALID_PAGE_TOKEN unless `encode` made it for the same question.
    """
    try:
        packed = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), b"-_", validate=True)
        content = packed[1 + SEAL_BYTES :]
        if packed[: 1 + SEAL_BYTES] != bytes([VERSION]) + _seal(content, question):
            raise invalid(token)
        return _values(content, kinds)
    except (UnicodeError, binascii.Error, struct.error) as error:
        raise invalid(token) from error


def invalid(token: str) -> CallError:
    """Return the error for a token that is not one of ours, or not for this question."""
    return CallError(
        error_reason_pb2.ERROR_REASON_INVALID_PAGE_TOKEN,
        "page_token is not one that this list has handed out for the same question: begin anew without it",
        metadata={"page_token": token},
    )


def _text(value: str) -> bytes:
    encoded = value.encode()
    if len(encoded) > MAX_TEXT_BYTES:
        raise ValueError(f"a text of {len(encoded)} bytes is too long for a page token")
    return _LENGTH.pack(len(encoded)) + encoded


def _values(content: bytes, kinds: Sequence[type[str | int]]) -> list[str | int]:
    """Return the values; struct.error or UnicodeError when there are not exactly such."""
    values: list[str | int] = []
    start = 0
    for kind in kinds:
        if kind is int:
            values += _NUMBER.unpack_from(content, start)
            start += _NUMBER.size
        else:
            (length,) = _LENGTH.unpack_from(content, start)
            start += _LENGTH.size + length
            values.append(content[start - length : start].decode())
    if start != len(content):
        raise struct.error("not as long as it says")
    return values


def _seal(content: bytes, question: Message) -> bytes:
    """Bind the position to what a request asks: all but its page, and how fresh that is to be.

    Against mistakes, not against forgers: a made-up position is just another place in the same list.
    """
    asked = type(question)()
    asked.CopyFrom(question)
    for field in {"page_size", "page_token", "consistency"} & set(asked.DESCRIPTOR.fields_by_name):
        asked.ClearField(field)
    seal = hashlib.blake2b(digest_size=SEAL_BYTES)
    for part in (
        asked.DESCRIPTOR.full_name.encode(),
        asked.SerializeToString(deterministic=True),
        content,
    ):
        seal.update(_NUMBER.pack(len(part)) + part)
    return seal.digest()
