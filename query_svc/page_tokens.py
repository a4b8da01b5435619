"""Page tokens: where the next page begins. Opaque to callers, versioned, and good for one question only."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

from google.protobuf.message import Message

from inventory.type.v1 import error_reason_pb2
from serving.errors import CallError

VERSION = 1
QUESTION_BYTES = 8
Position = Sequence[str | int]


def encode(position: Position, question: Message) -> str:
    """Return the token of the page after `position`, for a request that asks what `question` asks."""
    content = json.dumps(list(position), separators=(",", ":"), ensure_ascii=False).encode()
    packed = bytes([VERSION]) + _fingerprint(question) + content
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode(token: str, question: Message, kinds: Sequence[type]) -> list[str | int]:
    """Return the position in `token`, a value of each of `kinds`.

    Raises CallError INVALID_PAGE_TOKEN unless `encode` made it for the same question.
    """
    try:
        packed = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), b"-_", validate=True)
        position = json.loads(packed[1 + QUESTION_BYTES :])
    except (UnicodeError, binascii.Error, json.JSONDecodeError) as error:
        raise _invalid(token) from error
    foreign = packed[: 1 + QUESTION_BYTES] != bytes([VERSION]) + _fingerprint(question)
    if foreign or not isinstance(position, list) or [type(value) for value in position] != list(kinds):
        raise _invalid(token)
    return position


def _fingerprint(question: Message) -> bytes:
    """Stand for all of a request but its page: the fields page_size and page_token."""
    asked = type(question)()
    asked.CopyFrom(question)
    asked.ClearField("page_size")
    asked.ClearField("page_token")
    body = asked.SerializeToString(deterministic=True)
    return hashlib.blake2b(body, digest_size=QUESTION_BYTES).digest()


def _invalid(token: str) -> CallError:
    return CallError(
        error_reason_pb2.ERROR_REASON_INVALID_PAGE_TOKEN,
        "page_token is not one that this list has handed out for the same question: begin anew without it",
        metadata={"page_token": token},
    )
